use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::*;

fn decode(records: &str) -> Piece {
    let ingest = Ingest {
        run: "r".to_owned(),
        received_ms: 1,
        keep_raw: true,
    };
    PageDecoder::new(usize::MAX)
        .decode(records, None, &ingest)
        .unwrap()
}

fn text(page: &Piece, column: &str, row: usize) -> Option<String> {
    let column = page
        .batch
        .column_by_name(column)
        .unwrap()
        .as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

#[test]
fn values_that_fit_leave_nothing_unmapped() {
    let page = decode(
        r#"[ {"_id":"a","timestamp":1595096313000,"tenantId":-7,"user":{"userName":"é","userTags":["x",null]},
          "location":{"latitude":32.0679,"anonymousProxy":false},"mainInfo":{"eventObjects":[{"id":"i"},null,{}]},
          "rawDataJson":{"a" :1},"entityData":null} , {"timestamp":0,"_id":"b"}]"#,
    );
    assert_eq!(
        page.records
            .iter()
            .map(|record| record.flaw.clone())
            .collect::<Vec<_>>(),
        [None, None]
    );
    assert_eq!(text(&page, "unmapped", 0), None);
    assert_eq!(text(&page, "user_name", 0).as_deref(), Some("é"));
    assert_eq!(
        text(&page, "raw_data_json", 0).as_deref(),
        Some(r#"{"a" :1}"#)
    );
    assert_eq!(text(&page, "entity_data", 0).as_deref(), Some("null"));
    assert_eq!(text(&page, "entity_data", 1), None);
    assert_eq!(
        text(&page, "raw", 1).as_deref(),
        Some(r#"{"timestamp":0,"_id":"b"}"#)
    );
    let times = page
        .batch
        .column_by_name("timestamp")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values(), &[1_595_096_313_000_000, 0]);
    let tenant = page
        .batch
        .column_by_name("tenant_id")
        .unwrap()
        .as_primitive::<Int64Type>();
    assert_eq!(tenant.value(0), -7);
}

#[test]
fn odd_values_are_read_and_kept_verbatim() {
    let page = decode(
        r#"[{"_id":"a","timestamp":"1595096313000","appId":"15600","tenantId":1e3,"source":25.5,"user":null,
          "device":{},"severity":7,"classifications":"x","foo.bar":{"z":[ ]},"location":{"longitude":5,"City":1},
          "mainInfo":{"activityResult":{},"eventObjects":[5,{"role":"4","tags":["q",5,{"a":1}]}]},
          "created":1e400,"resolvedActor":{"resolved":"true","name":"\ud800"}}]"#,
    );
    assert_eq!(page.records[0].flaw, None);
    assert_eq!(
        text(&page, "unmapped", 0).unwrap(),
        concat!(
            r#"{"timestamp":"1595096313000","appId":"15600","tenantId":1e3,"source":25.5,"user":null,"device":{},"#,
            r#""severity":7,"classifications":"x","foo.bar":{"z":[ ]},"location":{"longitude":5,"City":1},"#,
            r#""mainInfo":{"activityResult":{},"eventObjects":{"0":5,"1":{"role":"4","tags":{"1":5,"2":{"a":1}}}}},"#,
            r#""created":1e400,"resolvedActor":{"resolved":"true","name":"\ud800"}}"#
        )
    );
    assert_eq!(text(&page, "severity", 0).as_deref(), Some("7"));
    let mut unknown = page.unknown.clone();
    unknown.sort();
    assert_eq!(
        unknown,
        [("foo.bar".to_owned(), 1), ("location.City".to_owned(), 1)]
    );
    assert_eq!(page.records[0].created_ms, None);
}

#[test]
fn a_record_that_cannot_be_a_row_does_not_stop_the_page() {
    let page = decode(
        r#"[1e400, {"_id":"a","timestamp":1}, {"_id":"","timestamp":1}, {"_id":"b"}, "\ud800", null,
          {"_id":"c","timestamp":1,"user":{"userName":"x","userName":"y"}}, {"_id":"d","timestamp":1,"k\u0041":1,"kA":2},
          {"_id":"e","timestamp":1,"\udc00":1}, {"_id":"f","timestamp":-1}, {"_id":"g","timestamp":1,"user\u004e":[]},
          {"_id":"h","timestamp":1,"rawDataJson":{"a":1,"a":2}}]"#,
    );
    let reasons: Vec<&str> = page
        .records
        .iter()
        .map(|record| {
            record
                .flaw
                .as_ref()
                .map_or("row", |flaw| flaw.reason.as_str())
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "not_an_object",
            "row",
            "no_id",
            "no_timestamp",
            "not_an_object",
            "not_an_object",
            "duplicate_key",
            "duplicate_key",
            "undecodable_key",
            "no_timestamp",
            "row",
            "row"
        ]
    );
    assert_eq!(
        page.records[6].flaw.as_ref().unwrap().place,
        "user.userName"
    );
    assert_eq!(page.batch.num_rows(), 12);
}

/// The guess for the key after `user` was once taken from inside `user`.
#[test]
fn a_key_of_the_record_is_not_taken_for_one_of_the_object_before_it() {
    let record = r#"{"_id":"a","timestamp":1,"user":{"userName":"x"},"userName":"y"}"#;
    let page = decode(&format!("[{record},{record}]"));
    for row in 0..2 {
        assert_eq!(text(&page, "user_name", row).as_deref(), Some("x"));
        assert_eq!(
            text(&page, "unmapped", row).as_deref(),
            Some(r#"{"userName":"y"}"#)
        );
    }
}

/// Records of which any can be no JSON, and the reasons of the page's rejects in order.
fn reasons(page: &Piece) -> Vec<&str> {
    let reason = |record: &Record| record.flaw.as_ref().map_or("row", |f| f.reason.as_str());
    page.records.iter().map(reason).collect()
}

#[test]
fn a_record_that_is_no_json_costs_only_itself() {
    let broken = [
        r#"{"_id":"x","timestamp":1,"location":{"latitude":NaN}}"#,
        "{\"_id\":\"x\",\"timestamp\":1,\"user\":{\"userName\":\"a\u{1}b\"}}",
        r#"{"_id":"x","timestamp":01}"#,
        r#"{"_id":"x","timestamp":1,"mainInfo":{"eventObjects":[{"id":"i"},{"role":1,"name":+1}]}}"#,
        r#"{"_id":"x","timestamp":1,"mainInfo":{"eventObjects":[{"id":"i"},tru]}}"#,
        r#"{"_id":"x","timestamp":1,"mainInfo":{"eventObjects":[{"id":"i"} {"id":"j"}]}}"#,
        r#"{"_id":"x","timestamp":1,"rawDataJson":{"a" 1},"user":{}}"#,
        r#"{"_id":"x","timestamp":1,"k":"\x"}"#,
        "{\"_id\":\"x\",\"timestamp\":1,\"k\u{1}\":1}",
        "{\"_id\":\"x\",\"timestamp\":1,\"k\\n\u{1}\":1}",
        "Infinity",
        "{\"_id\":\"x\",\"timestamp\":1,}",
    ];
    let whole = |id: &str| {
        format!(
            r#"{{"_id":"{id}","timestamp":7,"mainInfo":{{"eventObjects":[{{"name":"n"}},{{}}]}}}}"#
        )
    };
    for record in broken {
        let page = decode(&format!("[{},{record} ,{}]", whole("a"), whole("b")));
        assert_eq!(reasons(&page), ["row", "not_json", "row"], "{record}");
        assert_eq!(text(&page, "raw", 1).as_deref(), Some(record));
        for (row, id) in [(0, "a"), (2, "b")] {
            let alone = decode(&format!("[{}]", whole(id)));
            assert_eq!(page.batch.slice(row, 1), alone.batch, "{record}");
        }
    }
    let page = decode(&format!("[{}]", broken[3]));
    let flaw = page.records[0].flaw.clone().unwrap();
    assert_eq!(flaw.place, "mainInfo.eventObjects[1]");
}

#[test]
fn values_of_another_form_are_counted_by_path() {
    let page = decode(
        r#"[{"_id":"a","timestamp":"2026-11-19T10:00:00.5Z","appId":"15600","tenantId":7,"location":"Berlin","user":[1],
          "device":{"clientIP":5},"mainInfo":{"eventObjects":[5,{"role":"4","tags":["q",5,{"a":1},null]},null,{"name":{}}]},
          "resolvedActor":{"saasId":"11161","role":"4"}},
          {"_id":"b","timestamp":1,"appId":"1","user":null,"mainInfo":{"eventObjects":null},"classifications":null,
          "location":{"longitude":34,"latitude":1.50,"anonymousProxy":null},"rawDataJson":"x","device":{},"created":null}]"#,
    );
    let mut odd = page.odd.clone();
    odd.sort();
    let expected = [
        ("appId", 2),
        ("device.clientIP", 1),
        ("location", 1),
        ("mainInfo.eventObjects[]", 1),
        ("mainInfo.eventObjects[].name", 1),
        ("mainInfo.eventObjects[].role", 1),
        ("mainInfo.eventObjects[].tags", 2),
        ("timestamp", 1),
        ("user", 1),
    ];
    assert_eq!(odd, expected.map(|(path, count)| (path.to_owned(), count)));
}

#[test]
fn a_time_may_be_text() {
    let page = decode(
        r#"[{"_id":"a","timestamp":"2026-11-19T10:00:00.1234Z","created":"2026-11-19T12:00:00+01:00"},
           {"_id":"b","timestamp":"2026-11-19"},{"_id":"c","timestamp":"1969-12-31T23:59:59Z"}]"#,
    );
    assert_eq!(reasons(&page), ["row", "no_timestamp", "no_timestamp"]);
    assert_eq!(page.records[0].timestamp_ms, Some(1_795_082_400_123));
    assert_eq!(page.records[0].created_ms, Some(1_795_086_000_000));
    assert_eq!(
        text(&page, "unmapped", 0).unwrap(),
        r#"{"timestamp":"2026-11-19T10:00:00.1234Z","created":"2026-11-19T12:00:00+01:00"}"#
    );
}

#[test]
fn a_list_that_is_too_long_is_kept_as_its_text() {
    for path in [["mainInfo", "eventObjects"], ["user", "userTags"]] {
        for (elements, is_odd) in [(1 << 16, false), ((1 << 16) + 1, true)] {
            let list = format!("[{}]", vec!["null"; elements].join(","));
            let [above, key] = path;
            let page = decode(&format!(
                r#"[{{"_id":"a","timestamp":1,"{above}":{{"{key}":{list}}}}},{{"_id":"b","timestamp":1}}]"#
            ));
            assert_eq!(reasons(&page), ["row", "row"]);
            let kept = is_odd.then(|| format!(r#"{{"{above}":{{"{key}":{list}}}}}"#));
            assert_eq!(text(&page, "unmapped", 0), kept);
            assert_eq!(page.odd.len(), usize::from(is_odd));
        }
    }
}

#[test]
fn a_page_is_decoded_in_pieces() {
    let ingest = Ingest {
        run: "r".to_owned(),
        received_ms: 1,
        keep_raw: false,
    };
    let records: Vec<String> = (0..1_000)
        .map(|n| format!(r#"{{"_id":"{n}","timestamp":{n},"odd":[],"classifications":7}}"#))
        .collect();
    let array = format!("[{}]", records.join(" , "));
    let whole = decode(&array);
    let mut decoder = PageDecoder::new(100_000);
    let mut pieces = Vec::new();
    let mut from = None;
    loop {
        let piece = decoder.decode(&array, from, &ingest).unwrap();
        assert_eq!(
            piece.first_record,
            pieces
                .iter()
                .map(|p: &Piece| p.records.len())
                .sum::<usize>()
        );
        from = piece.next;
        pieces.push(piece);
        if from.is_none() {
            break;
        }
    }
    assert!(pieces.len() > 5, "{}", pieces.len());
    let records: Vec<Record> = pieces.iter().flat_map(|p| p.records.clone()).collect();
    assert_eq!(records, whole.records);
    for piece in &pieces {
        let rows = whole.batch.slice(piece.first_record, piece.records.len());
        let raw = whole.batch.schema().index_of("raw").unwrap();
        for (column, name) in whole.batch.schema().fields().iter().enumerate() {
            if column != raw {
                assert_eq!(piece.batch.column(column), rows.column(column), "{name}");
            }
        }
    }
}

#[test]
fn what_is_no_array_is_an_error() {
    let ingest = Ingest {
        run: "r".to_owned(),
        received_ms: 1,
        keep_raw: false,
    };
    for text in [
        "", "{}", "[", "[{}", "[{}]x", "[{}{}]", "[{]", "[,]", "null",
    ] {
        assert!(
            PageDecoder::new(usize::MAX)
                .decode(text, None, &ingest)
                .is_err(),
            "{text}"
        );
    }
    assert_eq!(decode(" [ ] ").batch.num_rows(), 0);
}
