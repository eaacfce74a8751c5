//! What is changed, what goes wrong meanwhile, and how PostgreSQL is made to let it go wrong.

use playout_domain::lifecycle::Operation;
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub(super) const MAX_CHANNELS: usize = 3;
pub(super) const MAX_DESTINATIONS: usize = 2;

/// What changes are written to, and whose the rows are.
pub(super) const TABLES: &[(&str, &str)] = &[
    ("channels", "id"),
    ("rtmp_destinations", "channel_id"),
    ("airtime", "channel_id"),
    ("media", "id"),
    ("tokens", "id"),
    ("orders", "id"),
    ("audit", "seq"),
    ("audit_heads", "client_id"),
];

#[derive(Debug, Clone)]
pub(super) enum What {
    /// With so many destinations; under an id that is taken; with a fallback that is not there.
    Create(usize, bool, bool),
    /// To so many destinations; of a version that was; naming a destination of nobody.
    Update(Index, usize, bool, bool),
    /// Or the last order once more.
    Order(Index, Operation, bool),
    /// A rotation of an item, or of one that is not there.
    Airtime(Index, Option<Index>),
    /// Of a version that was.
    Delete(Index, bool),
    /// A file, which may be there already.
    Import(u8),
    Unimport(Index),
    Token,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    None,
    /// A statement that writes, the so manieth, is refused; its connection ends; the commit is refused.
    Refused(i64),
    Cut(i64),
    AtCommit,
    /// The answer to the commit is lost.
    Unheard,
    /// The caller goes away at some point.
    Left(u8),
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) what: What,
    /// By somebody who must not know of it.
    pub(super) by_stranger: bool,
    pub(super) fault: Fault,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let rarely = || prop::bool::weighted(0.15);
    let at = any::<Index>;
    let operation = select(vec![Operation::Start, Operation::Stop, Operation::Restart]);
    let what = prop_oneof![
        4 => (0..=3_usize, rarely(), rarely()).prop_map(|(n, taken, gone)| What::Create(n, taken, gone)),
        3 => (at(), 0..=3_usize, rarely(), rarely()).prop_map(|(at, n, stale, unknown)| What::Update(at, n, stale, unknown)),
        3 => (at(), operation, rarely()).prop_map(|(at, operation, again)| What::Order(at, operation, again)),
        2 => (at(), prop::option::weighted(0.8, at())).prop_map(|(at, item)| What::Airtime(at, item)),
        2 => (at(), rarely()).prop_map(|(at, stale)| What::Delete(at, stale)),
        2 => (0..4_u8).prop_map(What::Import),
        1 => at().prop_map(What::Unimport),
        1 => Just(What::Token),
    ];
    let fault = prop_oneof![
        5 => Just(Fault::None),
        3 => (1..12_i64).prop_map(Fault::Refused),
        1 => (1..12_i64).prop_map(Fault::Cut),
        1 => Just(Fault::AtCommit),
        1 => Just(Fault::Unheard),
        2 => (0..60_u8).prop_map(Fault::Left),
    ];
    (what, prop::bool::weighted(0.07), fault).prop_map(|(what, by_stranger, fault)| Step {
        what,
        by_stranger,
        fault,
    })
}

/// Everything that is written is counted; at the count that is asked for, it goes wrong.
pub(super) fn triggers() -> String {
    let on = |(table, _): &(&str, &str)| {
        format!(
            "CREATE TRIGGER strike AFTER INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION strike('statement');"
        )
    };
    let each: String = TABLES.iter().map(on).collect();
    format!(
        "CREATE TABLE fault (kind text, at bigint); CREATE SEQUENCE counted;
         CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE f fault; BEGIN
             SELECT * INTO f FROM fault;
             IF f.kind = 'commit' AND tg_argv[0] = 'commit' THEN RAISE EXCEPTION 'on purpose'; END IF;
             IF tg_argv[0] = 'statement' AND f.at = nextval('counted') THEN
                 IF f.kind = 'cut' THEN PERFORM pg_terminate_backend(pg_backend_pid());
                 ELSE RAISE EXCEPTION 'on purpose'; END IF;
             END IF;
             RETURN NULL;
         END $$; {each}
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION strike('commit');"
    )
}
