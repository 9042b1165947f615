use super::*;
use proptest::prelude::*;
use serde_json::json;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn passes(filter: Value, data: &str) -> bool {
    Filter::parse(&filter).unwrap_or_else(|errors| panic!("{filter}: {errors:?}")).matches(&raw(data))
}

fn refused(filter: Value) -> Vec<String> {
    match Filter::parse(&filter) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.field).collect(),
    }
}

#[test]
fn the_documents_own_filter_passes_its_own_event_and_not_a_shorter_call() {
    let filter = json!({"direction": "outbound", "status": "completed", "min_duration": 60});
    let sample = crate::domain::event_types::built_in("call.completed").unwrap().sample;
    assert!(passes(filter.clone(), sample));
    assert!(!passes(filter.clone(), &sample.replace("345", "59")));
    assert!(!passes(filter, &sample.replace("outbound", "inbound")));
}

#[test]
fn each_operator_means_what_the_contract_says() {
    let data = r#"{"n":60,"s":"abc","t":true,"z":null,"l":[1],"o":{"p":"deep"}}"#;
    for (filter, expected) in [
        (json!({}), true),
        (json!({"s": "abc"}), true),
        (json!({"s": ["x", "abc"]}), true),
        (json!({"s": ["x", "y"]}), false),
        (json!({"n": {"eq": 60.0}}), true),
        (json!({"n": "60"}), false),
        (json!({"n": {"ne": 60}}), false),
        (json!({"n": {"ne": 61}}), true),
        (json!({"n": {"in": [1, 60]}}), true),
        (json!({"n": {"nin": [1, 60]}}), false),
        (json!({"n": {"gt": 60}}), false),
        (json!({"n": {"gt": 59.9}}), true),
        (json!({"n": {"gte": 60}}), true),
        (json!({"n": {"lt": 60}}), false),
        (json!({"n": {"lte": 60}}), true),
        (json!({"s": {"gt": 1}}), false),
        (json!({"s": {"prefix": "ab"}}), true),
        (json!({"s": {"prefix": "abcd"}}), false),
        (json!({"n": {"prefix": "6"}}), false),
        (json!({"t": true}), true),
        (json!({"t": "true"}), false),
        (json!({"z": null}), true),
        (json!({"z": {"exists": true}}), true),
        (json!({"s": null}), false),
        (json!({"l": {"ne": 1}}), true),
        (json!({"l": 1}), false),
        (json!({"o.p": "deep"}), true),
        (json!({"o.q": "deep"}), false),
        (json!({"s.p": {"exists": false}}), true),
        (json!({"s": "abc", "n": 61}), false),
    ] {
        assert_eq!(passes(filter.clone(), data), expected, "{filter}");
    }
}

#[test]
fn a_missing_field_matches_only_its_absence_and_inequality() {
    for (condition, expected) in [
        (json!({"exists": false}), true),
        (json!({"ne": 1}), true),
        (json!({"nin": [1]}), true),
        (json!({"exists": true}), false),
        (json!(null), false),
        (json!({"lt": 5}), false),
        (json!({"prefix": ""}), false),
    ] {
        for data in ["{}", "[]", "5", r#""text""#, "null"] {
            assert_eq!(passes(json!({"x": condition}), data), expected, "{condition} {data}");
        }
    }
    assert!(!passes(json!({"min_x": 0}), "{}"));
}

#[test]
fn only_bounds_find_the_field_in_seconds_and_only_when_the_plain_one_is_absent() {
    assert!(passes(json!({"min_d": 60, "max_d": 60}), r#"{"d_seconds":60}"#));
    assert!(!passes(json!({"min_d": 60}), r#"{"d":59,"d_seconds":60}"#));
    assert!(!passes(json!({"min_d": 60}), r#"{"d":"long","d_seconds":60}"#));
    assert!(!passes(json!({"d": 60}), r#"{"d_seconds":60}"#));
    assert!(passes(json!({"min_a.d": 60}), r#"{"a":{"d_seconds":61}}"#));
}

#[test]
fn a_field_that_is_named_like_a_bound_is_reached_by_operators() {
    assert!(passes(json!({"min_age": {"eq": "adult"}}), r#"{"min_age":"adult"}"#));
    assert!(!passes(json!({"min_age": {"gte": 1}}), r#"{"age":5}"#));
    assert!(passes(json!({"o.min_age": 3}), r#"{"o":{"min_age":3}}"#));
    assert!(passes(json!({"min_": "x"}), r#"{"min_":"x"}"#));
    assert_eq!(refused(json!({"min_age": "adult"})), ["filters.min_age"]);
}

#[test]
fn a_literal_key_with_a_dot_comes_before_the_path() {
    assert!(passes(json!({"a.b": 1}), r#"{"a.b":1,"a":{"b":2}}"#));
    assert!(!passes(json!({"a.b": 2}), r#"{"a.b":1,"a":{"b":2}}"#));
    assert!(passes(json!({"a.b": 2}), r#"{"a":{"b":2}}"#));
}

#[test]
fn the_last_of_repeated_keys_counts() {
    assert!(passes(json!({"a": 2}), r#"{"a":1,"a":2}"#));
    assert!(passes(json!({"a.b": {"exists": false}}), r#"{"a":{"b":1},"a":{}}"#));
}

#[test]
fn what_no_machine_type_holds_does_not_hide_other_fields() {
    let data = r#"{"huge":1e400,"\ud800":1,"odd":"x\udc00","nested":{"deep":[1e999]},"s":"abc"}"#;
    assert!(passes(json!({"s": "abc"}), data));
    assert!(passes(json!({"huge": {"gt": 1e308}}), data));
    assert!(passes(json!({"huge": {"exists": true}}), data));
    assert!(passes(json!({"odd": {"prefix": "x"}}), data));
    assert!(!passes(json!({"odd": {"prefix": "xy"}}), data));
    assert!(!passes(json!({"odd": "x"}), data));
    assert!(!passes(json!({"nested": 1}), data));
}

#[test]
fn numbers_compare_by_their_exact_value() {
    for (data, operand, expected) in [
        ("60.0", json!(60), true),
        ("6e1", json!(60), true),
        ("600E-1", json!(60), true),
        ("-0", json!(0), true),
        ("0.0e9", json!(0), true),
        ("9007199254740993", json!(9_007_199_254_740_993_i64), true),
        ("9007199254740992", json!(9_007_199_254_740_993_i64), false),
        ("18446744073709551615", json!(u64::MAX), true),
        ("18446744073709551616", json!(u64::MAX), false),
        ("0.1", json!(0.1), true),
        ("0.10", json!(0.1), true),
        ("0.01", json!(0.1), false),
        ("1e99999999999999999999", json!(1e308), false),
        ("1e-99999999999999999999", json!(0), false),
    ] {
        assert_eq!(passes(json!({"n": operand}), &format!(r#"{{"n":{data}}}"#)), expected, "{data} {operand}");
    }
    let digits = format!(r#"{{"n":{}}}"#, "1".repeat(2_000));
    assert!(!passes(json!({"n": {"gt": 1}}), &digits));
    assert!(passes(json!({"n": {"exists": true}}), &digits));
}

#[test]
fn a_bad_condition_is_named() {
    for (filter, field) in [
        (json!([]), "filters"),
        (json!("x"), "filters"),
        (json!({"min_duration": "60"}), "filters.min_duration"),
        (json!({"max_duration": [60]}), "filters.max_duration"),
        (json!({"x": []}), "filters.x"),
        (json!({"x": {}}), "filters.x"),
        (json!({"x": [[1]]}), "filters.x"),
        (json!({"x": [{"a": 1}]}), "filters.x"),
        (json!({"x": {"regex": "a"}}), "filters.x.regex"),
        (json!({"duration_seconds": {"gt": "60"}}), "filters.duration_seconds.gt"),
        (json!({"x": {"lte": null}}), "filters.x.lte"),
        (json!({"x": {"exists": "yes"}}), "filters.x.exists"),
        (json!({"x": {"prefix": 1}}), "filters.x.prefix"),
        (json!({"x": {"in": "a"}}), "filters.x.in"),
        (json!({"x": {"in": []}}), "filters.x.in"),
        (json!({"x": {"nin": []}}), "filters.x.nin"),
        (json!({"x": {"eq": {"a": 1}}}), "filters.x.eq"),
        (json!({"x": vec![1; MAX_LIST + 1]}), "filters.x"),
        (json!({vec!["a"; 129].join("."): 1}), &format!("filters.{}", vec!["a"; 129].join("."))),
    ] {
        assert_eq!(refused(filter.clone()), [field], "{filter}");
    }
    assert_eq!(
        refused(json!({"a": {"gt": "x", "no": 1}, "b": []})),
        ["filters.a.gt", "filters.a.no", "filters.b"]
    );
}

#[test]
fn a_filter_that_no_event_can_pass_is_refused() {
    for (filter, field) in [
        (json!({"x": {"gt": 5, "lt": 5}}), "filters.x.gt"),
        (json!({"x": {"gt": 5, "lte": 5}}), "filters.x.gt"),
        (json!({"x": {"gte": 6, "lt": 5}}), "filters.x.gte"),
        (json!({"x": {"gte": 5, "lte": 5.0, "ne": 5}}), "filters.x.gte"),
        (json!({"x": {"eq": 5, "ne": 5.0}}), "filters.x.eq"),
        (json!({"x": {"in": [1, 2], "nin": [2, 1]}}), "filters.x.in"),
        (json!({"x": {"eq": "abc", "prefix": "b"}}), "filters.x.eq"),
        (json!({"x": {"exists": false, "eq": 1}}), "filters.x.exists"),
        (json!({"x": {"prefix": "a", "lt": 1}}), "filters.x.lt"),
        (json!({"x": {"prefix": "a", "gt": 1}}), "filters.x.gt"),
        (json!({"min_x": 6, "max_x": 5}), "filters.min_x"),
        (json!({"x": 5, "min_x": 6}), "filters.x"),
    ] {
        assert_eq!(refused(filter.clone()), [field], "{filter}");
    }
    for filter in [
        json!({"x": {"gte": 5, "lte": 5}}),
        json!({"min_x": 5, "max_x": 5}),
        json!({"x": {"in": [1, 2], "nin": [2]}}),
        json!({"x": {"exists": false, "ne": 1}}),
        json!({"x": {"exists": false}, "min_x": 6}),
        json!({"x": {"ne": 5}, "min_x": 5, "max_x": 5}),
    ] {
        assert_eq!(refused(filter.clone()), [""; 0], "{filter}");
    }
}

#[test]
fn fifty_conditions_are_allowed_and_operators_are_counted() {
    let fields = |count: usize| -> Value {
        (0..count).map(|n| (format!("f{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into()
    };
    assert_eq!(refused(fields(50)), [""; 0]);
    assert_eq!(refused(fields(51)), ["filters"]);
    let mut counted = fields(49);
    counted["x"] = json!({"gt": 1, "lt": 2});
    assert_eq!(refused(counted), ["filters"]);
}

/// What the contract says, over values and without any cleverness.
fn naive(filter: &Value, data: &Value) -> bool {
    let find = |name: &str| {
        let literal = data.get(name);
        literal.or_else(|| name.split('.').try_fold(data, |at, key| at.as_object()?.get(key)))
    };
    filter.as_object().unwrap().iter().all(|(name, wanted)| match wanted {
        Value::Object(operators) => {
            operators.iter().all(|(operator, operand)| operator_holds(operator, operand, find(name)))
        }
        Value::Array(list) => find(name).is_some_and(|found| list.iter().any(|value| equal(value, found))),
        value => match (name.strip_prefix("min_"), name.strip_prefix("max_")) {
            (None, None) => find(name).is_some_and(|found| equal(value, found)),
            (least, most) => {
                let field = least.or(most).unwrap();
                let found = find(field).or_else(|| find(&format!("{field}_seconds"))).and_then(Value::as_f64);
                let bound = value.as_f64().unwrap();
                found.is_some_and(|found| if least.is_some() { found >= bound } else { found <= bound })
            }
        },
    })
}

fn operator_holds(operator: &str, operand: &Value, found: Option<&Value>) -> bool {
    let any = || found.is_some_and(|found| operand.as_array().unwrap().iter().any(|value| equal(value, found)));
    let compare = |holds: fn(&f64, &f64) -> bool| {
        found.and_then(Value::as_f64).is_some_and(|found| holds(&found, &operand.as_f64().unwrap()))
    };
    match operator {
        "eq" => found.is_some_and(|found| equal(operand, found)),
        "ne" => !found.is_some_and(|found| equal(operand, found)),
        "in" => any(),
        "nin" => !any(),
        "gt" => compare(f64::gt),
        "gte" => compare(f64::ge),
        "lt" => compare(f64::lt),
        "lte" => compare(f64::le),
        "exists" => found.is_some() == operand.as_bool().unwrap(),
        "prefix" => {
            found.and_then(Value::as_str).is_some_and(|found| found.starts_with(operand.as_str().unwrap()))
        }
        _ => unreachable!("{operator}"),
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        (-8i32..8).prop_map(|halves| json!(f64::from(halves) / 2.0)),
        "[ab\\\\\"é\u{1f600}\n]{0,3}".prop_map(Value::from),
    ]
}

fn name() -> impl Strategy<Value = String> {
    "(min_|max_)?(a|b|a\\.b|b\\.a|a\\.b\\.a|a_seconds|b_seconds)"
}

fn document() -> impl Strategy<Value = Value> {
    let key = "a|b|a\\.b|a_seconds|b_seconds|min_a";
    scalar().prop_recursive(3, 20, 4, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            4 => prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn filter_source() -> impl Strategy<Value = Value> {
    let number = || prop_oneof![(-3i64..4).prop_map(Value::from), Just(json!(0.5))];
    let list = || prop::collection::vec(scalar(), 1..4).prop_map(Value::from);
    let operator = prop_oneof![
        (prop_oneof![Just("eq"), Just("ne")], scalar()),
        (prop_oneof![Just("in"), Just("nin")], list()),
        (prop_oneof![Just("gt"), Just("gte"), Just("lt"), Just("lte")], number()),
        (Just("exists"), any::<bool>().prop_map(Value::from)),
        (Just("prefix"), "[ab\\\\é\u{1f600}]{0,2}".prop_map(Value::from)),
    ];
    let operators = prop::collection::vec(operator, 1..3).prop_map(|operators| {
        Value::Object(operators.into_iter().map(|(operator, operand)| (operator.to_owned(), operand)).collect())
    });
    let wanted = prop_oneof![scalar(), list(), operators];
    prop::collection::btree_map(name(), wanted, 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// As another program might write it: every character of every text escaped.
fn escaped(value: &Value) -> String {
    let text = |text: &str| {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{units}\"")
    };
    match value {
        Value::String(value) => text(value),
        Value::Array(values) => format!("[ {} ]", values.iter().map(escaped).collect::<Vec<_>>().join(" , ")),
        Value::Object(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{} : {}", text(key), escaped(value))).collect();
            format!("{{ {} }}", fields.join(" ,\n"))
        }
        other => other.to_string(),
    }
}

/// More than by default, as there is much to combine; `PROPTEST_CASES` raises it further.
fn more_cases() -> ProptestConfig {
    let given = ProptestConfig::default();
    ProptestConfig { cases: given.cases.max(2_000), ..given }
}

proptest! {
    #![proptest_config(more_cases())]

    #[test]
    fn the_compiled_filter_agrees_with_the_naive_one_however_the_data_is_written(
        source in filter_source(),
        data in prop::collection::vec(document(), 1..4),
    ) {
        if let Ok(filter) = Filter::parse(&source) {
            for data in data {
                let expected = naive(&source, &data);
                prop_assert_eq!(filter.matches(&raw(&data.to_string())), expected, "{} {}", source, data);
                prop_assert_eq!(filter.matches(&raw(&escaped(&data))), expected, "{} {}", source, data);
            }
        }
    }

    #[test]
    fn a_refused_contradiction_is_one(source in filter_source(), data in document()) {
        // the messages of contradictions are the only errors that generated filters without text bounds have
        let sound = source.as_object().unwrap().iter().all(|(name, wanted)| {
            wanted.is_object() || wanted.is_number() || !(name.starts_with("min_") || name.starts_with("max_"))
        });
        if sound && Filter::parse(&source).is_err() {
            prop_assert!(!naive(&source, &data), "{} {}", source, data);
        }
    }

    #[test]
    fn a_filter_survives_its_source(source in filter_source()) {
        if let Ok(filter) = Filter::parse(&source) {
            prop_assert_eq!(filter.source(), &source);
            prop_assert_eq!(Filter::parse(filter.source()), Ok(filter));
        }
    }

    #[test]
    fn no_filter_and_no_data_panic(source in document(), data in document(), operand in document()) {
        for source in [source, json!({"a": {"eq": operand.clone()}}), json!({"min_a": operand})] {
            if let Ok(filter) = Filter::parse(&source) {
                filter.matches(&raw(&data.to_string()));
            }
        }
    }

    #[test]
    fn numbers_in_any_notation_compare_as_doubles_do(
        left in -1_000i32..1_000, right in -1_000i32..1_000, exponent in -3i32..4,
    ) {
        let text = format!("{left}e{exponent}");
        let expected = (f64::from(left) * 10f64.powi(exponent)).total_cmp(&f64::from(right));
        let expected = if left == 0 && right == 0 { std::cmp::Ordering::Equal } else { expected };
        prop_assert_eq!(number::compare(&text, &right.to_string()), expected, "{} {}", text, right);
    }
}

#[test]
fn a_text_is_the_same_however_it_is_escaped() {
    assert!(passes(json!({"s": "a/\u{1f600}"}), r#"{"\u0073":"\u0061\/\ud83d\ude00"}"#));
    assert!(passes(json!({"s": "ab"}), r#"{"s":"\u0061\u0062"}"#));
    assert!(passes(json!({"s": {"prefix": "\u{1f600}"}}), r#"{"s":"\ud83d\ude00\ud83d\ude00"}"#));
}
