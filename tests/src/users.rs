//! A crowd of users, and who of them is served.

use storyflag::{Client, Context};

use crate::eventually;

/// The users `user-0` to `user-{count - 1}`, as contexts that are made once.
pub struct Users {
    contexts: Vec<Context>,
}

impl Users {
    /// So many users.
    pub fn new(count: usize) -> Users {
        Users { contexts: (0..count).map(|number| Context::new(format!("user-{number}"))).collect() }
    }

    /// The numbers of those for whom a boolean flag is on in this application, ascending.
    pub fn served(&self, application: &Client, flag: &str) -> Vec<u32> {
        let on = |(_, context): &(usize, &Context)| application.is_on(flag, context);
        self.contexts.iter().enumerate().filter(on).map(|(number, _)| number as u32).collect()
    }
}

/// Waits until an application runs a revision, or a later one of the same history.
pub async fn applied(application: &Client, revision: u64) {
    eventually(&format!("the application runs revision {revision}"), || async {
        let runs = application.status().identity.map(|identity| identity.revision);
        if runs.is_some_and(|runs| runs >= revision) { Ok(()) } else { Err(format!("it runs {runs:?}")) }
    })
    .await;
}
