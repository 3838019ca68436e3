//! Two nodes and a Redis.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{Bus, Node, PATIENCE, Sdk, eventually, quick, told, writer};
use crate::{
    listener::Limits,
    publish::{BusStatus, Options},
    store::tests::{Database, both, fresh_name},
};

both!(a_bus_tells_at_once_and_comes_back_by_itself);

/// A Redis of its own, which may be stopped.
struct Server {
    folder: PathBuf,
}

impl Server {
    fn script(&self, verb: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test-services.sh");
        let done = Command::new(script).args([verb, "redis"]).arg(&self.folder).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.script("stop");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn node(database: &Database, address: &str, options: Options) -> Node {
    let bus = Bus::redis(address, "storyflag-test:").unwrap();
    Node::start_with(database.open_again().await, bus, options, Limits::default()).await
}

async fn a_bus_tells_at_once_and_comes_back_by_itself(database: Database) {
    let writer = writer(&database).await;
    let server = Server { folder: std::env::temp_dir().join(fresh_name()) };
    let address = server.script("start");
    // The second reads the heads only when it is told to; the third always.
    let first = node(&database, &address, told()).await;
    let second = node(&database, &address, told()).await;
    let third = node(&database, &address, quick()).await;
    let all_are = async |status: BusStatus| {
        eventually("the bus is as expected", async || [&first, &second, &third].iter().all(|node| node.hub.bus() == status)).await;
    };
    all_are(BusStatus::Up).await;
    let mut sdks = [Sdk::connect(second.address).await, Sdk::connect(third.address).await];
    for millionths in 1..=20 {
        let committed = writer.put_flag("a", millionths).await;
        first.hub.publish(&committed);
        for sdk in &mut sdks {
            sdk.reach(committed.identity).await;
        }
    }
    // Keys, too.
    writer.put_key("0000000000000002", "sfs_new").await;
    first.hub.refresh();
    eventually("the key is known everywhere", async || second.hub.find_key("sfs_new").is_some()).await;

    server.script("stop");
    all_are(BusStatus::Down).await;
    // A write does not notice, and who reads the heads has it.
    let committed = writer.put_flag("a", 100).await;
    first.hub.publish(&committed);
    assert_eq!(first.hub.environment(writer.environment).unwrap().identity(), committed.identity);
    sdks[1].reach(committed.identity).await;
    let behind = second.hub.environment(writer.environment).unwrap();
    assert!(!behind.reached(committed.identity, Duration::from_millis(300)).await);

    server.script("start");
    all_are(BusStatus::Up).await;
    // What was missed meanwhile is made up for.
    assert!(behind.reached(committed.identity, PATIENCE).await);
    let committed = writer.put_flag("a", 101).await;
    first.hub.publish(&committed);
    for sdk in &mut sdks {
        sdk.reach(committed.identity).await;
    }
    assert!(Bus::redis("http://localhost", "").is_err());
}
