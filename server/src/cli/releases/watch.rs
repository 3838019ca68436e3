//! `storyflag release watch`: the live view on a terminal, lines for a log, JSON for machines.

use std::{
    io::{self, Write},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    super::{
        Said,
        client::{Client, Query, Target},
        failure::Failure,
        table::plain,
    },
    events::{News, follow},
    find::{Found, find},
    screen::Screen,
    shape::{Entry, Release},
    view::{Line, Page, Tone, entry_in_words, status_in_words},
};
use crate::app::now_ms;

/// How often a terminal is drawn where nothing is heard.
const FRAME: Duration = Duration::from_secs(1);
/// A log has at most one status line in so long.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// Exit code of a release that ended without completing.
const ENDED_OTHERWISE: u8 = 2;

/// What is known of a release that is watched.
pub(in crate::cli) struct Scene {
    pub(in crate::cli) release: Release,
    environment: String,
    timeline: Vec<Entry>,
    /// The last transition that the timeline has.
    last: u64,
    /// Why nothing is heard, and since when.
    away: Option<(String, Instant)>,
}

/// Where a release is shown.
pub(in crate::cli) trait Face {
    /// The release as it stands now; again and again.
    fn show(&mut self, scene: &Scene) -> io::Result<()>;

    /// A transition.
    fn entry(&mut self, _scene: &Scene, _entry: &Entry) -> io::Result<()> {
        Ok(())
    }

    /// An event as the service said it.
    fn raw(&mut self, _event: &str, _data: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Watches a release until it ends.
pub(super) fn watch(target: &Target, what: &str) -> Result<Said, Failure> {
    let client = target.client()?;
    let found = find(&client, target, what)?;
    watch_found(target, &client, found)
}

pub(super) fn watch_found(target: &Target, client: &Client, found: Found) -> Result<Said, Failure> {
    let (environment, path) = (target.required_environment()?, target.in_environment(&["releases", &found.release.id])?);
    let mut face: Box<dyn Face> = match Screen::of_stdout() {
        _ if target.json => Box::new(Machine),
        Some(screen) => Box::new(screen),
        None => Box::<Log>::default(),
    };
    if target.json {
        face.raw("release", &found.answer.text).map_err(|error| Failure::refused(error.to_string()))?;
    }
    let Some(ended) = follow_release(client, &path, environment, found.release, face.as_mut())? else { return Ok(Said::default()) };
    let said = if ended.phase == "completed" { Said::default() } else { Said::default().with_code(ENDED_OTHERWISE) };
    Ok(if target.json { said } else { said.with_note(format!("next: storyflag release report {} -e {environment}", plain(&ended.id))) })
}

/// Shows a release at `path` until it ends; none if nobody looks any more. The network may do what it likes.
pub(in crate::cli) fn follow_release(
    client: &Client,
    path: &str,
    environment: &str,
    release: Release,
    face: &mut dyn Face,
) -> Result<Option<Release>, Failure> {
    let mut watching = Watching { client, path, scene: Scene::of(release, environment), face };
    match watching.run() {
        Ok(()) => Ok(Some(watching.scene.release)),
        Err(Stop::Refused(failure)) => Err(failure),
        Err(Stop::Unseen(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        Err(Stop::Unseen(error)) => Err(Failure::refused(error.to_string())),
    }
}

/// Why watching ends before the release does.
enum Stop {
    Refused(Failure),
    Unseen(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Unseen(error)
    }
}

struct Watching<'a> {
    client: &'a Client,
    path: &'a str,
    scene: Scene,
    face: &'a mut dyn Face,
}

impl Watching<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        // Only up to where the release stood: what came later is told as news.
        let until = self.scene.last;
        self.scene.timeline = self.told().into_iter().filter(|entry| entry.number.is_none_or(|number| number <= until)).collect();
        self.face.show(&self.scene)?;
        let (news, heard) = channel();
        if !self.scene.release.ended {
            self.send_follower(news);
        }
        while !self.scene.release.ended {
            match heard.recv_timeout(FRAME) {
                Ok(first) => {
                    self.take(first)?;
                    // What has come meanwhile is shown together.
                    while let Ok(more) = heard.try_recv() {
                        self.take(more)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Stop::Refused(Failure::refused("nothing can be heard any more"))),
            }
            if self.scene.release.ended {
                self.catch_up()?;
            }
            self.face.show(&self.scene)?;
        }
        Ok(())
    }

    /// In a thread of its own, which ends with the process, or when it finds that nobody listens.
    fn send_follower(&self, news: Sender<News>) {
        let (client, path, after) = (self.client.clone(), format!("{}/events", self.path), self.scene.last);
        std::thread::spawn(move || follow(&client, &path, after, &news));
    }

    fn take(&mut self, news: News) -> Result<(), Stop> {
        match news {
            News::Release(release, raw) => {
                self.scene.away = None;
                if release.number >= self.scene.release.number {
                    self.scene.release = *release;
                    self.face.raw("release", &raw)?;
                }
            }
            News::Entry(entry, raw) => {
                self.scene.away = None;
                if self.add(entry)? {
                    self.face.raw("timeline", &raw)?;
                }
            }
            News::Away(why) => {
                // What to type next is for those who can: here it is done for them.
                let why = why.lines().next().unwrap_or_default().to_owned();
                let since = self.scene.away.take().map_or_else(Instant::now, |(_, since)| since);
                self.scene.away = Some((why, since));
            }
            News::Refused(failure) => return Err(Stop::Refused(failure)),
        }
        Ok(())
    }

    /// Adds a transition unless it is known.
    fn add(&mut self, entry: Entry) -> Result<bool, Stop> {
        let number = entry.number.unwrap_or_default();
        if number <= self.scene.last {
            return Ok(false);
        }
        self.scene.last = number;
        self.face.entry(&self.scene, &entry)?;
        self.scene.timeline.push(entry);
        Ok(true)
    }

    /// The last transitions may be heard of after the end.
    fn catch_up(&mut self) -> Result<(), Stop> {
        for entry in self.told() {
            self.add(entry)?;
        }
        Ok(())
    }

    /// What happened, as the service tells it; without it, it is watched all the same.
    fn told(&self) -> Vec<Entry> {
        let answer = self.client.get(&format!("{}/timeline", self.path), &Query::default());
        let mut entries = answer.and_then(|answer| Entry::read_all(&answer.text)).unwrap_or_default();
        entries.retain(|entry| !entry.is_notice());
        entries
    }
}

impl Scene {
    fn of(release: Release, environment: &str) -> Self {
        let last = release.number;
        Self { release, environment: environment.to_owned(), timeline: Vec::new(), last, away: None }
    }

    /// What is seen of it in so many columns.
    pub(in crate::cli) fn lines(&self, columns: usize) -> Vec<Line> {
        let now = jiff::Timestamp::from_millisecond(now_ms()).unwrap_or_default();
        let page = Page { release: &self.release, environment: &self.environment, timeline: &self.timeline, now, columns };
        let mut lines = page.lines();
        if let Some((why, since)) = &self.away {
            let text = format!("no news for {} s: {}; tried again and again", since.elapsed().as_secs(), plain(why));
            lines.insert(0, Line::of(Tone::Warning, &text));
        }
        lines
    }
}

impl Face for Screen {
    fn show(&mut self, scene: &Scene) -> io::Result<()> {
        let columns = self.columns();
        self.draw(&scene.lines(columns));
        Ok(())
    }
}

/// Lines, each with its time.
#[derive(Debug, Default)]
pub(in crate::cli) struct Log {
    told: Option<(Instant, String)>,
    is_away: bool,
}

impl Face for Log {
    fn show(&mut self, scene: &Scene) -> io::Result<()> {
        match &scene.away {
            Some((why, _)) if !self.is_away => line(scene, &format!("no news: {why}; tried again and again"))?,
            None if self.is_away => line(scene, "there is news again")?,
            _ => {}
        }
        self.is_away = scene.away.is_some();
        let status = status_in_words(&scene.release);
        let is_due = self.told.as_ref().is_none_or(|(at, told)| at.elapsed() >= STATUS_EVERY && *told != status);
        if is_due && !self.is_away || scene.release.ended {
            line(scene, &status)?;
            self.told = Some((Instant::now(), status));
        }
        Ok(())
    }

    fn entry(&mut self, scene: &Scene, entry: &Entry) -> io::Result<()> {
        print(&format!("{} {} {}\n", plain(&entry.at), plain(&scene.release.id), plain(&entry_in_words(entry))))
    }
}

fn line(scene: &Scene, text: &str) -> io::Result<()> {
    let now = jiff::Timestamp::from_second(now_ms() / 1_000).unwrap_or_default();
    print(&format!("{now} {} {}\n", plain(&scene.release.id), plain(text)))
}

/// Every event as a line of JSON.
struct Machine;

impl Face for Machine {
    fn show(&mut self, _scene: &Scene) -> io::Result<()> {
        Ok(())
    }

    fn raw(&mut self, event: &str, data: &str) -> io::Result<()> {
        let data: Value = serde_json::from_str(data).unwrap_or_default();
        print(&format!("{}\n", json!({"event": event, "data": data})))
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}
