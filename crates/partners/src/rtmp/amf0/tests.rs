//! R1, R2 of AMF0: what is written is read back; no bytes make the reader panic.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (-1e9..1e9).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,12}".prop_map(Value::Text),
        (0.0..1e12).prop_map(Value::Date),
        Just(Value::Null),
        Just(Value::Undefined),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            vec((".{0,6}", inner.clone()), 0..5).prop_map(Value::Object),
            vec(inner, 0..5).prop_map(Value::Array),
        ]
    })
}

fn read(bytes: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    while let Some(value) = reader.next()? {
        values.push(value);
    }
    Ok(values)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn r1_what_is_written_is_read_back(values in vec(value(), 0..6)) {
        let mut out = Vec::new();
        values.iter().for_each(|value| write(&mut out, value));
        let again = read(&out);
        prop_assert!(again.as_ref() == Ok(&values), "{:?} became {:?}", values, again);
    }

    #[test]
    fn r1_a_value_cut_short_is_no_value(value in value(), cut in any::<prop::sample::Index>()) {
        let mut out = Vec::new();
        write(&mut out, &value);
        let cut = cut.index(out.len());
        prop_assert_eq!(read(&out[..cut]).map(|values| values.len()), if cut == 0 { Ok(0) } else { Err(Amf0Error::CutOff) });
    }

    #[test]
    fn r2_no_bytes_make_it_panic(bytes in vec(prop_oneof![0..0x12_u8, any::<u8>()], 0..200)) {
        let _either = read(&bytes);
    }
}

#[test]
fn the_kinds_that_are_only_read_are_read() {
    let ecma = [8, 0, 0, 0, 9, 0, 1, b'a', 5, 0, 0, 9];
    assert_eq!(
        read(&ecma).unwrap(),
        [Value::Object(vec![("a".into(), Value::Null)])]
    );
    let typed = [0x10, 0, 1, b'C', 0, 1, b'a', 1, 7, 0, 0, 9];
    assert_eq!(
        read(&typed).unwrap(),
        [Value::Object(vec![("a".into(), Value::Boolean(true))])]
    );
    let xml = [0x0f, 0, 0, 0, 2, b'<', 0xff];
    assert_eq!(read(&xml).unwrap(), [Value::Text("<\u{fffd}".into())]);
    assert_eq!(read(&[0x0d]).unwrap(), [Value::Undefined]);
    for marker in [0x04, 0x07, 0x09, 0x0e, 0x11, 0xff] {
        assert_eq!(read(&[marker, 0, 0]), Err(Amf0Error::Marker(marker)));
    }
}

#[test]
fn what_is_too_deep_or_too_much_is_refused() {
    let deep = |levels: usize| {
        let mut bytes = [0x0a, 0, 0, 0, 1].repeat(levels);
        bytes.push(5);
        read(&bytes).map(|values| values.len())
    };
    assert_eq!(deep(8), Ok(1));
    assert_eq!(deep(9), Err(Amf0Error::Depth));
    assert_eq!(deep(20_000), Err(Amf0Error::Depth));
    assert_eq!(read(&[5; 1024]).map(|values| values.len()), Ok(1024));
    assert_eq!(read(&[5; 1025]), Err(Amf0Error::Number));
    // A count of four thousand million in six bytes.
    assert_eq!(
        read(&[0x0a, 0xff, 0xff, 0xff, 0xff, 5]),
        Err(Amf0Error::CutOff)
    );
}

#[test]
fn long_texts_are_long_strings_and_long_names_are_cut() {
    let long = "ü".repeat(40_000);
    let mut out = Vec::new();
    write_text(&mut out, &long);
    write(&mut out, &Value::Object(vec![(long.clone(), Value::Null)]));
    let values = read(&out).unwrap();
    assert_eq!(values[0].as_text(), Some(long.as_str()));
    assert_eq!(
        values[1],
        Value::Object(vec![("ü".repeat(32_767), Value::Null)])
    );
}

#[test]
fn no_text_is_printed() {
    let key = || Value::Text("live_sesame".into());
    let value = Value::Array(vec![
        key(),
        Value::Object(vec![("live_sesame".into(), key())]),
    ]);
    assert_eq!(format!("{value:?}"), "[Text(11), [Text(11)]]");
}
