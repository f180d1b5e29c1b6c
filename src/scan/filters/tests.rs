use super::*;

fn check_text(text: &str) -> Result<CheckedFilters, FilterError> {
    CommonFilters::default().check_with(Some(text))
}

fn refusal(text: &str) -> String {
    check_text(text).expect_err(text).to_string()
}

/// A value that fits: of the filter's kind, in the form of the operator.
fn fitting(filter: &Filter, operator: &str) -> Value {
    let one = match filter.kind {
        Kind::Integer | Kind::Time => json!(1_795_046_400_000_i64),
        Kind::Bool => json!(true),
        Kind::Entity => json!({"id": "a", "inst": 0}),
        Kind::Source => json!("t:2"),
        Kind::Text | Kind::TextOrNull | Kind::Tags | Kind::Any => json!("a"),
    };
    match operator {
        "isset" | "isnotset" => json!(true),
        "range" => json!([{"start": 1, "end": 2}]),
        "gt" | "gte" | "lt" | "lte" | "text" | "startswithsingle" => one,
        _ => json!([one]),
    }
}

#[test]
fn every_operator_of_every_filter_is_taken_with_a_value_that_fits() {
    for filter in FILTERS {
        for operator in filter.operators {
            let text = json!({filter.name: {*operator: fitting(filter, operator)}}).to_string();
            let checked = check_text(&text).unwrap();
            let asked = checked.filters.unwrap();
            assert_eq!(Value::Object(asked).to_string(), text);
            let remarked = filter.standing == Standing::Seen;
            assert_eq!(!checked.remarks.is_empty(), remarked, "{text}");
        }
    }
}

#[test]
fn no_filter_takes_an_operator_or_a_value_that_is_not_its_own() {
    let mut operators: Vec<&str> = FILTERS.iter().flat_map(|f| f.operators).copied().collect();
    operators.extend(["deq", "equals", "", "EQ", "gte_ndays", "descendantof"]);
    for filter in FILTERS {
        for operator in &operators {
            let fitting = fitting(filter, operator);
            if !filter.operators.contains(operator) {
                let said = refusal(&json!({filter.name: {*operator: fitting}}).to_string());
                assert!(said.contains(filter.name), "{said}");
                continue;
            }
            for odd in [json!({}), json!([]), json!([[]]), json!([{"end": 1}])] {
                if filter.kind == Kind::Any || filter.kind == Kind::Tags && odd != json!([]) {
                    continue;
                }
                let said = refusal(&json!({filter.name: {*operator: odd}}).to_string());
                assert!(said.contains(operator), "{said}");
            }
        }
    }
}

#[test]
fn a_near_miss_is_answered_with_what_was_meant() {
    for (slip, meant) in [
        ("user.userName", "user.username"),
        ("username", "user.username"),
        ("ip", "ip.address"),
        ("ipaddress", "ip.address"),
        ("services", "service"),
        ("activity.eventactiontype", "activity.eventActionType"),
        ("location.contry", "location.country"),
        ("Created", "created"),
    ] {
        let said = refusal(&json!({slip: {"eq": ["a"]}}).to_string());
        let suggested = said.split_once("did you mean ").map(|(_, names)| names);
        assert!(
            suggested.is_some_and(|names| names.contains(meant)),
            "{said}"
        );
    }
    let said = refusal(r#"{"zzz":{"eq":["a"]}}"#);
    assert_eq!(said, "--filters: the service has no filter 'zzz'");
}

#[test]
fn what_reads_otherwise_to_others_is_refused() {
    for (text, part) in [
        (
            r#"{"service":{"eq":[1]},"service":{"eq":[2]}}"#,
            "'service' is there twice",
        ),
        (r#"{"service":{"eq":[1],"eq":[2]}}"#, "'eq' is there twice"),
        (
            r#"{"entity":{"eq":[{"id":"a","id":"b"}]}}"#,
            "'id' is there twice",
        ),
        (
            r#"{"service":{"eq":[12345678901234567890123]}}"#,
            "not a whole number",
        ),
        (
            r#"{"service":{"eq":[18446744073709551615]}}"#,
            "a list of whole numbers",
        ),
        (r#"{"service":{"eq":[1e3]}}"#, "not a whole number"),
        (
            r#"{"service":{"eq":["20893"]}}"#,
            r#"a list of whole numbers, not "20893""#,
        ),
        (r#"{"activity.type":{"eq":["true"]}}"#, "true or false"),
        (r#"{"user.username":{"isset":1}}"#, "true or false"),
        (r#"{"date":{"gte_ndays":1}}"#, "--from and --until"),
        (r#"{"service":1}"#, "no operators"),
        (r#"{"service":{}}"#, "no operators"),
        ("[1]", "not a JSON object"),
        ("{", "not JSON"),
    ] {
        let said = refusal(text);
        assert!(said.contains(part), "{text}: {said}");
    }
}

#[test]
fn what_clients_send_beyond_the_documents_passes_with_a_remark() {
    for (text, part) in [
        (r#"{"service":{"eq":15600}}"#, "use [15600]"),
        (r#"{"activity.type":{"eq":true}}"#, "use [true]"),
        (r#"{"date":{"gte":1,"lte":2}}"#, "2 operators"),
        (
            r#"{"activity.eventType":{"eq":["EVENT_CATEGORY_LOGIN"]}}"#,
            "not in the service's documentation",
        ),
        (
            r#"{"activity.actionType":{"eq":["11161:EVENT_AAD_LOGIN:OAuth2:Authorize"]}}"#,
            "not in the service's documentation",
        ),
    ] {
        let checked = check_text(text).unwrap();
        assert!(
            checked.remarks[0].contains(part),
            "{text}: {:?}",
            checked.remarks
        );
    }
    for text in [
        r#"{"service":{"eq":["i:11161"]}}"#,
        r#"{"user.tags":{"eq":[{"role":1,"adv":true},"5f0"]}}"#,
        r#"{"activity.takenAction":{"eq":["block",null]}}"#,
        r#"{"date":{"range":[{"start":1,"end":2}]}}"#,
    ] {
        assert_eq!(
            check_text(text).unwrap().remarks,
            Vec::<String>::new(),
            "{text}"
        );
    }
}

#[test]
fn flags_are_filters_and_set_none_a_second_time() {
    let flags = CommonFilters {
        service: vec![20893, 11161],
        app_instance: vec![0],
        user: vec!["ada@contoso.com".to_owned()],
        ip: vec!["192.0.2.1".to_owned()],
        activity_type: vec!["EVENT_CATEGORY_LOGIN".to_owned()],
    };
    let checked = flags.check_with(None).unwrap();
    assert_eq!(
        Value::Object(checked.filters.unwrap()),
        json!({
            "service": {"eq": [20893, 11161]},
            "instance": {"eq": [0]},
            "user.username": {"eq": ["ada@contoso.com"]},
            "ip.address": {"eq": ["192.0.2.1"]},
            "activity.eventActionType": {"eq": ["EVENT_CATEGORY_LOGIN"]},
        })
    );
    for (flag, name, values) in flags.by_flag() {
        let text = json!({name: {"eq": values}}).to_string();
        let said = flags.check_with(Some(&text)).unwrap_err().to_string();
        assert!(said.starts_with(flag), "{said}");
    }
    for blank in ["", " "] {
        let flags = CommonFilters {
            user: vec!["ada@contoso.com".to_owned(), blank.to_owned()],
            ..CommonFilters::default()
        };
        let said = flags.check_with(None).unwrap_err().to_string();
        assert_eq!(said, "--user is empty");
    }
    let nothing = CommonFilters::default().check_with(None).unwrap();
    assert_eq!(nothing.filters, None);
    // An empty object is asked for, and differs from a lake that has filters.
    assert_eq!(check_text("{}").unwrap().filters, Some(Map::new()));
}
