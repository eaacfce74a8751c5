//! Real processes that want more than they may have.

use std::time::Duration;

use playout_domain::resources::{Allowance, Excess, Share};

use super::*;

const MEMORY: u64 = 64 << 20;

/// How a process ends that may use no more than `allowance`.
async fn ends(spec: Spec, allowance: Allowance) -> ExitKind {
    let spec = spec.allowance(allowance);
    let mut process = launcher().spawn(spec).await.unwrap();
    process.last_words().await.0
}

fn memory() -> Allowance {
    Allowance {
        memory: Some(MEMORY),
        ..Allowance::default()
    }
}

fn perl(script: &str) -> Spec {
    Spec::new("perl", "perl").args(["-e", script])
}

fn ffmpeg(args: &str) -> Spec {
    let quiet = "-nostdin -hide_banner -nostats -loglevel error";
    Spec::new("ffmpeg", "ffmpeg").args([quiet, args].iter().flat_map(|args| args.split(' ')))
}

#[tokio::test]
async fn what_eats_memory_is_ended_and_the_reason_says_so() {
    let exit = ends(perl("push @a, 'x' x (1 << 20) while 1"), memory()).await;
    assert_eq!(exit, ExitKind::Overran(Excess::Memory(MEMORY)));
    let sentence = exit.to_string();
    assert_eq!(sentence, "used more memory than its limit of 64 MiB");
    let exit = ends(
        ffmpeg("-f lavfi -i testsrc2=s=3840x2160 -c:v libx264 -f null -"),
        memory(),
    )
    .await;
    assert_eq!(exit, ExitKind::Overran(Excess::Memory(MEMORY)));
}

/// FFmpeg's decoders leave out pictures for want of memory, and do not end.
#[tokio::test]
async fn what_goes_on_without_the_memory_it_was_refused_is_ended_too() {
    let script = format!(
        "sub data {{ open my $f, '<', '/proc/self/statm'; (split ' ', <$f>)[5] * 4096 }}
         push @a, 'x' x (1 << 19) while data() <= {MEMORY}; sleep 1000"
    );
    let exit = ends(perl(&script), memory()).await;
    assert_eq!(exit, ExitKind::Overran(Excess::Memory(MEMORY)));
}

#[tokio::test]
async fn what_spends_its_cpu_time_is_ended_and_the_reason_says_so() {
    let limit = Duration::from_secs(1);
    let allowance = Allowance {
        cpu_time: Some(limit),
        ..Allowance::default()
    };
    let overran = ExitKind::Overran(Excess::CpuTime(limit));
    assert_eq!(ends(shell("while :; do :; done"), allowance).await, overran);
    // It does not heed the signal.
    let deaf = shell("trap '' XCPU; while :; do :; done");
    assert_eq!(ends(deaf, allowance).await, overran);
    // It takes the signal for a wish, and says nothing.
    let endless = ffmpeg("-f lavfi -i testsrc2=s=1280x720 -c:v libx264 -f null -");
    assert_eq!(ends(endless, allowance).await, overran);
    assert_eq!(
        overran.to_string(),
        "used more CPU time than its limit of 1 s"
    );
}

#[tokio::test]
async fn what_runs_away_is_ended_and_what_works_now_and_then_is_not() {
    let share = Share {
        percent: 20,
        over: Duration::from_secs(1),
    };
    let allowance = Allowance {
        share: Some(share),
        ..Allowance::default()
    };
    let exit = ends(shell("while :; do :; done"), allowance).await;
    assert_eq!(exit, ExitKind::Overran(Excess::Share(share)));
    let calm = shell("for n in 1 2 3 4 5 6; do sleep 0.4; done; exit 3");
    assert_eq!(ends(calm, allowance).await, ExitKind::Code(3));
}

#[tokio::test]
async fn what_stays_within_its_limits_ends_as_it_would() {
    let allowance = Allowance {
        memory: Some(MEMORY),
        cpu_time: Some(Duration::from_secs(5)),
        share: None,
    };
    for (script, code) in [("exit 0", 0), ("exit 1", 1)] {
        assert_eq!(ends(shell(script), allowance).await, ExitKind::Code(code));
    }
}
