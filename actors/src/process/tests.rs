//! Real processes: what the launcher promises about their birth and their end.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

mod cgroups;
mod limits;

fn launcher() -> Launcher {
    Launcher::new(Tools::default()).unwrap()
}

fn shell(script: &str) -> Spec {
    Spec::new("/bin/sh", "a shell").args(["-c", script])
}

/// The state letter of a process, `None` when there is none.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until `done`, for at most ten seconds.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::yield_now();
    }
}

async fn read_all(process: &mut Process) -> Vec<u8> {
    let mut out = Vec::new();
    let mut stdout = process.take_stdout().unwrap();
    stdout.read_to_end(&mut out).await.unwrap();
    out
}

#[tokio::test]
async fn output_arrives_and_the_exit_code_is_known() {
    let spec = shell("printf hello; echo ups >&2; exit 3").stdout(Stdout::PIPED);
    let mut process = launcher().spawn(spec).await.unwrap();
    assert_eq!(read_all(&mut process).await, b"hello");
    let (exit, words) = process.last_words().await;
    assert_eq!(exit, ExitKind::Code(3));
    assert_eq!(words, "ups");
    assert_eq!(process.wait().await, ExitKind::Code(3), "asked again");
    assert_eq!(process.stats(), None);
}

#[tokio::test]
async fn a_missing_program_is_an_error_in_words() {
    let error = launcher()
        .spawn(Spec::new("/nowhere/ffmpeg", "x"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the program /nowhere/ffmpeg is not installed"
    );
}

#[tokio::test]
async fn odd_arguments_arrive_as_they_are() {
    let odd = [
        OsString::from("two\nlines"),
        OsString::from(" spaces 'and' \"quotes\""),
        OsString::from("-leading-dash"),
        OsString::from_vec(vec![b'a', 0xff, 0xfe]),
    ];
    let spec = Spec::new("/usr/bin/printf", "printf")
        .args(["%s|"])
        .args(odd)
        .stdout(Stdout::PIPED);
    let mut process = launcher().spawn(spec).await.unwrap();
    assert_eq!(
        read_all(&mut process).await,
        b"two\nlines| spaces 'and' \"quotes\"|-leading-dash|a\xff\xfe|"
    );
}

#[tokio::test]
async fn a_child_is_confined() {
    // A descriptor without CLOEXEC, as a careless library might leave it.
    let leak = std::fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(
        &leak,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .unwrap();
    let script = "cat /proc/self/status; ulimit -c; ulimit -n; nice; ls /proc/$$/fd; echo $$; \
                  cut -d' ' -f5 /proc/$$/stat";
    let spec = shell(script)
        .stdout(Stdout::PIPED)
        .priority(Priority::Background)
        .limits(Limits {
            open_files: 99,
            ..Limits::default()
        });
    let mut process = launcher().spawn(spec).await.unwrap();
    let out = String::from_utf8(read_all(&mut process).await).unwrap();
    let has = |line: &str| assert!(out.lines().any(|l| l == line), "no {line:?} in {out}");
    has("NoNewPrivs:\t1");
    has("SigBlk:\t0000000000000000");
    // Signals from 32 on are the C library's own.
    let ignored = out.lines().find_map(|l| l.strip_prefix("SigIgn:\t"));
    let ignored = u64::from_str_radix(ignored.unwrap(), 16).unwrap();
    assert_eq!(ignored & 0x7fff_ffff, 0, "{ignored:x}");
    let rest: Vec<&str> = out
        .lines()
        .skip_while(|l| !l.starts_with("nonvoluntary"))
        .skip(1)
        .collect();
    let pid = process.pid().to_string();
    assert_eq!(rest, ["0", "99", "19", "0", "1", "2", &pid, &pid]);
}

/// Also where the daemon is nice itself: what would be less so is nobody's right but root's.
#[tokio::test]
async fn a_child_is_nicer_than_the_daemon() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let own: i32 = rest.split_whitespace().nth(16).unwrap().parse().unwrap();
    for priority in [Priority::OnAir, Priority::Interactive, Priority::Background] {
        let spec = shell("nice").stdout(Stdout::PIPED).priority(priority);
        let mut process = launcher().spawn(spec).await.unwrap();
        let out = String::from_utf8(read_all(&mut process).await).unwrap();
        let nice: i32 = out.trim().parse().unwrap();
        assert_eq!(nice, (own + priority.nice()).min(19), "{priority:?}");
    }
}

#[tokio::test]
async fn dropping_kills_the_whole_group_and_leaves_no_zombie() {
    let spec = shell("sleep 1000 & echo $!; wait").stdout(Stdout::PIPED);
    let mut process = launcher().spawn(spec).await.unwrap();
    let mut stdout = process.take_stdout().unwrap();
    let mut line = [0; 32];
    let read = stdout.read(&mut line).await.unwrap();
    let grandchild: u32 = std::str::from_utf8(&line[..read])
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let child = process.pid();
    drop(process);
    until("the child is gone and reaped", || state(child).is_none());
    until("the grandchild is dead", || {
        matches!(state(grandchild), None | Some('Z'))
    });
}

/// Whoever reads may be seconds behind: what has ended is no zombie until then.
#[tokio::test]
async fn a_child_that_has_ended_is_reaped_before_its_output_is_read() {
    let script = "head -c 100000 /dev/zero; echo ups >&2; exit 5";
    let spec = shell(script).stdout(Stdout::PIPED);
    let mut process = launcher().spawn(spec).await.unwrap();
    let pid = process.pid();
    let end = Instant::now() + Duration::from_secs(10);
    while state(pid).is_some() {
        assert!(Instant::now() < end, "it is still there: {:?}", state(pid));
        tokio::task::yield_now().await;
    }
    assert_eq!(process.stats(), None);
    // Its number is another's by now, for all that is known.
    process.kill();
    assert_eq!(read_all(&mut process).await.len(), 100_000);
    let (exit, words) = process.last_words().await;
    assert_eq!((exit, words.as_str()), (ExitKind::Code(5), "ups"));
}

#[tokio::test]
async fn what_a_child_leaves_in_its_group_dies_with_it() {
    let spec = shell("sleep 1000 >/dev/null 2>&1 & echo $!").stdout(Stdout::PIPED);
    let mut process = launcher().spawn(spec).await.unwrap();
    let out = read_all(&mut process).await;
    let left: u32 = std::str::from_utf8(&out).unwrap().trim().parse().unwrap();
    assert_eq!(process.wait().await, ExitKind::Code(0));
    until("the straggler is dead", || {
        matches!(state(left), None | Some('Z'))
    });
}

#[tokio::test]
async fn terminate_asks_first_and_kills_after_the_grace() {
    let polite =
        shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done").stdout(Stdout::PIPED);
    let mut process = launcher().spawn(polite).await.unwrap();
    let mut stdout = process.take_stdout().unwrap();
    stdout.read_u8().await.unwrap();
    let exit = process.terminate(Duration::from_secs(10)).await;
    assert_eq!(exit, ExitKind::Code(7));

    let deaf =
        shell("trap '' TERM; echo ready; while :; do sleep 0.01; done").stdout(Stdout::PIPED);
    let mut process = launcher().spawn(deaf).await.unwrap();
    let mut stdout = process.take_stdout().unwrap();
    stdout.read_u8().await.unwrap();
    let exit = process.terminate(Duration::from_millis(50)).await;
    assert_eq!(exit, ExitKind::Signal(9));
    assert_eq!(exit.to_string(), "was ended by SIGKILL");
}

#[tokio::test]
async fn a_stopped_child_can_be_terminated() {
    let mut process = launcher()
        .spawn(Spec::new("/bin/sleep", "sleep").args(["1000"]))
        .await
        .unwrap();
    let pid = nix::unistd::Pid::from_raw(process.pid() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    until("it is stopped", || state(process.pid()) == Some('T'));
    let exit = process.terminate(Duration::from_secs(10)).await;
    assert_eq!(exit, ExitKind::Signal(15));
}

#[tokio::test]
async fn progress_is_separated_from_the_tail() {
    let spec =
        shell("echo frame=1 >&2; echo trouble >&2; echo frame=2 >&2").stderr(Stderr::Progress);
    let mut process = launcher().spawn(spec).await.unwrap();
    let mut progress = process.take_lines().unwrap();
    assert_eq!(progress.recv().await.as_deref(), Some("frame=1"));
    assert_eq!(progress.recv().await.as_deref(), Some("frame=2"));
    assert_eq!(progress.recv().await, None);
    assert_eq!(process.last_words().await.1, "trouble");
}

#[tokio::test]
async fn every_line_comes_in_its_order_and_none_is_dropped() {
    let script = "n=0; while [ $n -lt 500 ]; do n=$((n+1)); echo line $n >&2; echo n=$n >&2; done";
    let mut process = launcher()
        .spawn(shell(script).stderr(Stderr::Lines))
        .await
        .unwrap();
    let mut lines = process.take_lines().unwrap();
    for n in 1..=500 {
        assert_eq!(lines.recv().await.unwrap(), format!("line {n}"));
        assert_eq!(lines.recv().await.unwrap(), format!("n={n}"));
    }
    assert_eq!(lines.recv().await, None);
    let (_, tail) = process.last_words().await;
    assert!(tail.ends_with("line 499\nline 500"), "{tail}");
}

#[tokio::test]
async fn a_reader_that_has_gone_holds_nobody_up() {
    let script = "n=0; while [ $n -lt 500 ]; do n=$((n+1)); echo line $n >&2; done";
    let mut process = launcher()
        .spawn(shell(script).stderr(Stderr::Lines))
        .await
        .unwrap();
    drop(process.take_lines());
    assert_eq!(process.last_words().await.0, ExitKind::Code(0));
}

/// The trap of `PR_SET_PDEATHSIG`: it follows the thread that forked.
#[tokio::test]
async fn a_child_asked_for_on_a_short_lived_thread_survives_that_thread() {
    let handle = tokio::runtime::Handle::current();
    let thread = std::thread::spawn(move || {
        let sleep = Spec::new("/bin/sleep", "sleep").args(["1000"]);
        let process = handle.block_on(launcher().spawn(sleep)).unwrap();
        (process, nix::unistd::gettid())
    });
    let (mut process, thread) = tokio::task::spawn_blocking(|| thread.join().unwrap())
        .await
        .unwrap();
    let task = format!("/proc/self/task/{thread}");
    until("the thread is gone", || {
        !std::path::Path::new(&task).exists()
    });
    // Had the thread's end killed it, that signal would have been the earlier one.
    let exit = process.terminate(Duration::from_secs(10)).await;
    assert_eq!(exit, ExitKind::Signal(15));
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_child() {
    let marker = tempfile::tempdir().unwrap();
    let path = marker.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", path.display());
    {
        let launcher = launcher();
        let spawning = launcher.spawn(shell(&script));
        tokio::pin!(spawning);
        // Polled once, so the order is given; then dropped.
        std::future::poll_fn(|cx| {
            let _pending = spawning.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }
    // The launcher serves in order: when this one is answered, that one was.
    let mut next = launcher().spawn(shell("exit 0")).await.unwrap();
    next.wait().await;
    if let Ok(pid) = std::fs::read_to_string(&path)
        && let Ok(pid) = pid.trim().parse()
    {
        until("the abandoned child is gone", || state(pid).is_none());
    }
}

#[tokio::test]
async fn the_pipe_is_as_large_as_asked() {
    let spec = shell("sleep 1000").stdout(Stdout::Piped { bytes: 512 << 10 });
    let mut process = launcher().spawn(spec).await.unwrap();
    let stdout = process.take_stdout().unwrap();
    let size = nix::fcntl::fcntl(&stdout, nix::fcntl::FcntlArg::F_GETPIPE_SZ).unwrap();
    assert_eq!(size, 512 << 10);
}

/// Started by the test below in a process of its own: the daemon that will be killed.
#[test]
#[ignore = "the other half of children_die_when_the_daemon_is_killed"]
fn daemon_with_a_child() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let sleep = Spec::new("/bin/sleep", "sleep").args(["1000"]);
        let process = launcher().spawn(sleep).await.unwrap();
        println!("\nchild {}", process.pid());
        std::future::pending::<()>().await;
    });
}

#[test]
fn children_die_when_the_daemon_is_killed() {
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::tests::daemon_with_a_child"])
        .args(["--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    let child: u32 = lines
        .map_while(Result::ok)
        .find_map(|l| l.strip_prefix("child ")?.parse().ok())
        .unwrap();
    assert!(!matches!(state(child), None | Some('Z')));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    until("the child is dead", || {
        matches!(state(child), None | Some('Z'))
    });
}

#[tokio::test]
async fn what_is_written_to_standard_input_arrives() {
    let spec = Spec::new("/bin/cat", "cat")
        .stdin(Stdin::Piped { bytes: 1 << 16 })
        .stdout(Stdout::PIPED);
    let mut process = launcher().spawn(spec).await.unwrap();
    let mut stdin = process.take_stdin().unwrap();
    stdin.write_all(b"one two").await.unwrap();
    drop(stdin);
    assert_eq!(read_all(&mut process).await, b"one two");
    assert_eq!(process.wait().await, ExitKind::Code(0));
}

#[tokio::test]
async fn no_child_is_started_for_a_strangers_file_outside_the_roots() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("in")).unwrap();
    for name in ["in/file", "outside"] {
        std::fs::write(at(name), "").unwrap();
    }
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(at(to), at(name)).unwrap();
    link("in", "root");
    link("in/file", "in/round");
    link("outside", "in/way-out");
    link("nowhere", "in/broken");
    let launcher = launcher().reading_within(Roots::new(vec![at("not mounted"), at("root")]));
    let read = async |name: &str| {
        let spec = Spec {
            reads: Some(at(name)),
            ..shell("exit 0")
        };
        launcher.spawn(spec).await.map(drop)
    };
    for inside in ["in/file", "in/round", "root/file"] {
        read(inside).await.unwrap();
    }
    for outside in ["outside", "in/way-out", "in/../outside"] {
        let refused = read(outside).await.unwrap_err();
        assert!(matches!(refused, SpawnError::Outside { .. }), "{refused}");
    }
    let refused = read("in/broken").await.unwrap_err();
    assert!(
        matches!(refused, SpawnError::Unreachable { .. }),
        "{refused}"
    );
}
