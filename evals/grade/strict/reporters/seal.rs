// Built and run inside the task's container, by cargo, in the place of each test binary: runs the binary's tests one process
// each, judges them by their exit status, and writes an authenticated line for each to the result file, as reporter.py does
// for Python. What is no test binary with tests to list (a doc test, a harness of one's own) is run as it is, unreported.
use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::{exit, id, Command, ExitStatus, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

const KEY: &str = "@KEY@";
const RESULTS: &str = "@RESULTS@";
const WITH_VALUE: [&str; 6] = ["--test-threads", "--format", "--color", "--logfile", "--shuffle-seed", "-Z"];

/// The fractional parts of the roots of the first primes, 32 bits each: the constants of SHA-256.
fn fractions(count: usize, root: fn(f64) -> f64) -> Vec<u32> {
    let primes = (2u32..).filter(|n| (2..*n).all(|d| n % d != 0));
    primes.take(count).map(|p| (root(f64::from(p)).fract() * 4294967296.0) as u32).collect()
}

fn sha256(data: &[u8]) -> String {
    let (mut state, rounds) = (fractions(8, f64::sqrt), fractions(64, f64::cbrt));
    let mut padded = data.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(data.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w: Vec<u32> = block.chunks(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
        for i in 16..64 {
            let (a, b) = (w[i - 15], w[i - 2]);
            let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
            let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
            w.push(w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1));
        }
        let mut v = state.clone();
        for i in 0..64 {
            let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let t1 = v[7].wrapping_add(s1).wrapping_add(choice).wrapping_add(rounds[i]).wrapping_add(w[i]);
            let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            v.rotate_right(1);
            v[4] = v[4].wrapping_add(t1);
            v[0] = t1.wrapping_add(s0).wrapping_add(majority);
        }
        for i in 0..8 {
            state[i] = state[i].wrapping_add(v[i]);
        }
    }
    state.iter().map(|word| format!("{:08x}", word)).collect()
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for unit in text.encode_utf16() {
        match unit {
            0x22 | 0x5c => quoted.push_str(&format!("\\{}", unit as u8 as char)),
            0x20..=0x7e => quoted.push(unit as u8 as char),
            _ => quoted.push_str(&format!("\\u{:04x}", unit)),
        }
    }
    quoted + "\""
}

struct Channel {
    stream: String,
    code: String,
}

impl Channel {
    fn open() -> Channel {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).map(|t| t.as_nanos()).unwrap_or(0);
        Channel { stream: format!("{}-{}", id(), began), code: String::new() }
    }

    fn send(&mut self, kind: &str, names: &str, state: &str) {
        let body = format!("[{}, {}, [{}], {}]", quote(&self.stream), quote(kind), names, quote(state));
        self.code = sha256(format!("{}{}{}", KEY, self.code, body).as_bytes());
        let file = OpenOptions::new().append(true).create(true).open(RESULTS);
        if file.and_then(|mut f| f.write_all(format!("{} {}\n", self.code, body).as_bytes())).is_err() {
            let _ = OpenOptions::new().write(true).create(true).open(format!("{}.full", RESULTS));
        }
    }
}

/// What the binary was asked for: what selects tests, what of ignored ones, and what is passed on to each.
#[derive(Default)]
struct Asked {
    selects: Vec<OsString>,
    ignored: Option<OsString>,
    shows: Vec<OsString>,
    listing: bool,
}

fn asked(given: &[OsString]) -> Asked {
    let mut found = Asked::default();
    let mut rest = given.iter();
    while let Some(argument) = rest.next() {
        match argument.to_str().unwrap_or("") {
            "--list" => found.listing = true,
            "--ignored" | "--include-ignored" => found.ignored = Some(argument.clone()),
            "--skip" => found.selects.extend(std::iter::once(argument).chain(rest.next()).cloned()),
            "--nocapture" | "--no-capture" | "--show-output" => found.shows.push(argument.clone()),
            option if WITH_VALUE.contains(&option) => drop(rest.next()),
            option if option.starts_with('-') && option != "--exact" && !option.starts_with("--skip=") => {}
            _ => found.selects.push(argument.clone()),
        }
    }
    found
}

/// The names that the binary lists; None when it does not know how to.
fn listed(binary: &OsString, selects: &[OsString], ignored: Option<&OsString>) -> Option<Vec<String>> {
    let mut command = Command::new(binary);
    command.args(selects).args(ignored).args(&["--list", "--format", "terse"]);
    let done = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    let names = text.lines().filter_map(|line| line.strip_suffix(": test")).map(String::from);
    if done.status.success() { Some(names.collect()) } else { None }
}

fn status_of(command: &mut Command) -> Option<ExitStatus> {
    command.status().ok()
}

fn main() {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let binary = arguments.first().cloned().unwrap_or_else(|| exit(70));
    for (name, _) in env::vars_os() {
        if name.to_str().map_or(false, |n| n.starts_with("CARGO_TARGET_") && n.ends_with("_RUNNER")) {
            env::remove_var(name);
        }
    }
    let asked = asked(&arguments[1..]);
    let names = if asked.listing { None } else { listed(&binary, &asked.selects, asked.ignored.as_ref()) };
    let names = names.unwrap_or_default();
    if names.is_empty() {
        let status = status_of(Command::new(&binary).args(&arguments[1..]));
        exit(status.and_then(|s| s.code()).unwrap_or(101));
    }
    let passed_over = match asked.ignored {
        Some(_) => Vec::new(),
        None => listed(&binary, &asked.selects, Some(&"--ignored".into())).unwrap_or_default(),
    };
    let (mut channel, mut code) = (Channel::open(), 0);
    for name in names {
        let mut command = Command::new(&binary);
        command.args(&[name.as_str(), "--exact"]).args(&asked.ignored).args(&asked.shows);
        let passed = status_of(&mut command).map_or(false, |status| status.success());
        let state = match passed {
            true if passed_over.contains(&name) => "skipped",
            true => "passed",
            false => "failed",
        };
        code = if passed { code } else { 101 };
        channel.send("test", &quote(&name), state);
    }
    channel.send("end", "", "0");
    exit(code);
}
