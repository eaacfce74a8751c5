//! Control groups against a folder that looks like a delegated one. Where the tests run there is none: what the
//! kernel makes of what is written is not tested here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use playout_domain::ids::ChannelId;
use playout_domain::resources::{Excess, GroupAllowance};

use super::super::cgroup::{Cgroups, NotDelegated};
use super::*;

const OWN: u32 = 4242;
const MEMBERSHIP: &str = "9:name=systemd:/\n0::/system.slice/playoutd.service\n";
const LIMITS: GroupAllowance = GroupAllowance {
    memory: Some(800 << 20),
    cpu: Some(250),
    tasks: Some(64),
};

/// A mounted cgroup v2, in which the daemon is in a group of its own.
fn mounted() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("system.slice/playoutd.service");
    fs::create_dir_all(&home).unwrap();
    for (file, text) in [
        ("cgroup.events", "populated 1\nfrozen 0\n"),
        ("cgroup.controllers", "cpu memory pids\n"),
        ("cgroup.procs", "4242\n"),
        ("cgroup.subtree_control", ""),
    ] {
        fs::write(home.join(file), text).unwrap();
    }
    (root, home)
}

fn taken_over(root: &Path) -> Result<Cgroups, NotDelegated> {
    // The kernel removes a group with the files it shows.
    Cgroups::of(root, MEMBERSHIP, OWN, |path| fs::remove_dir_all(path))
}

fn id() -> ChannelId {
    ChannelId::from(uuid::Uuid::now_v7())
}

/// Makes a channel's group as the kernel does: with the file by which processes enter.
fn made(home: &Path, id: ChannelId) -> PathBuf {
    let path = home.join(format!("channel-{id}"));
    fs::create_dir(&path).unwrap();
    fs::write(path.join("cgroup.procs"), "").unwrap();
    path
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_daemon_moves_aside_and_hands_its_controllers_down() {
    let (root, home) = mounted();
    let stale = made(&home, id());
    let groups = taken_over(root.path()).unwrap();
    assert_eq!(groups.home(), home);
    assert_eq!(read(home.join("daemon/cgroup.procs")), "4242");
    assert_eq!(
        read(home.join("cgroup.subtree_control")),
        "+memory +cpu +pids"
    );
    assert!(!stale.exists(), "an earlier run has left it");
}

#[test]
fn what_is_not_delegated_is_left_alone() {
    let spoiled = |spoil: &dyn Fn(&Path)| {
        let (root, home) = mounted();
        spoil(&home);
        let refused = taken_over(root.path()).unwrap_err();
        assert!(!home.join("daemon").exists(), "{refused}");
        refused.to_string()
    };
    let write = |file: &'static str, text: &'static str| {
        move |home: &Path| fs::write(home.join(file), text).unwrap()
    };
    assert!(spoiled(&write("cgroup.controllers", "memory pids")).ends_with("no control over cpu"));
    assert!(spoiled(&write("cgroup.procs", "4242\n17\n")).ends_with("shared with other processes"));
    let topmost = spoiled(&|home| fs::remove_file(home.join("cgroup.events")).unwrap());
    assert!(
        topmost.ends_with("no control group of its own"),
        "{topmost}"
    );
    let refuses = spoiled(&|home| {
        fs::remove_file(home.join("cgroup.subtree_control")).unwrap();
        fs::create_dir(home.join("cgroup.subtree_control")).unwrap();
    });
    assert!(refuses.contains("is not the daemon's"), "{refuses}");
    let (root, _) = mounted();
    let old = Cgroups::of(root.path(), "4:memory:/x\n", OWN, |path| {
        fs::remove_dir_all(path)
    });
    assert!(matches!(old, Err(NotDelegated::None)));
}

#[tokio::test]
async fn a_channels_processes_are_in_its_group_which_goes_with_the_last_of_them() {
    let (root, home) = mounted();
    let groups = taken_over(root.path()).unwrap();
    let channel = id();
    let path = made(&home, channel);
    let group = groups.channel(channel, LIMITS).unwrap();
    for (file, value) in [
        ("memory.max", "838860800"),
        ("memory.high", "734003200"),
        ("cpu.max", "250000 100000"),
        ("pids.max", "64"),
    ] {
        assert_eq!(read(path.join(file)), value, "{file}");
    }
    let again = groups.channel(channel, GroupAllowance::default()).unwrap();
    assert!(Arc::ptr_eq(&group, &again), "there is one");
    assert_eq!(read(path.join("memory.max")), "max");
    assert_eq!(read(path.join("cpu.max")), "max 100000");
    drop(again);
    let spec = Spec::new("/bin/sleep", "sleep").args(["1000"]);
    let process = launcher().spawn(spec.group(Some(group))).await.unwrap();
    assert_eq!(
        read(path.join("cgroup.procs")),
        format!("{}\n", process.pid())
    );
    assert!(path.exists(), "its process holds it");
    drop(process);
    until("the group is gone", || !path.exists());
}

#[tokio::test]
async fn a_process_that_the_kernel_killed_for_its_groups_memory_says_so() {
    let (root, home) = mounted();
    let groups = taken_over(root.path()).unwrap();
    let channel = id();
    let path = made(&home, channel);
    let group = groups.channel(channel, LIMITS).unwrap();
    let killed = async || {
        let spec = shell("kill -9 $$").group(Some(Arc::clone(&group)));
        launcher().spawn(spec).await.unwrap().wait().await
    };
    assert_eq!(killed().await, ExitKind::Signal(9));
    fs::write(path.join("memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
    let limit = 800 << 20;
    assert_eq!(
        killed().await,
        ExitKind::Overran(Excess::GroupMemory(limit))
    );
    assert_eq!(killed().await, ExitKind::Signal(9), "that was one");
}

#[tokio::test]
async fn a_process_starts_also_where_its_group_is_gone() {
    let (root, home) = mounted();
    let groups = taken_over(root.path()).unwrap();
    let channel = id();
    let path = made(&home, channel);
    let group = groups.channel(channel, LIMITS).unwrap();
    fs::remove_dir_all(path).unwrap();
    let spec = shell("exit 3").group(Some(group));
    let mut process = launcher().spawn(spec).await.unwrap();
    assert_eq!(process.wait().await, ExitKind::Code(3));
}
