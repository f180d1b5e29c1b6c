use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::*;

fn decode(records: &str) -> DecodedPage {
    let ingest = Ingest {
        run: "r".to_owned(),
        received_ms: 1,
        keep_raw: true,
    };
    PageDecoder::new().decode(records, &ingest).unwrap()
}

fn text(page: &DecodedPage, column: &str, row: usize) -> Option<String> {
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

#[test]
fn what_is_no_array_is_an_error() {
    let ingest = Ingest {
        run: "r".to_owned(),
        received_ms: 1,
        keep_raw: false,
    };
    for text in [
        "",
        "{}",
        "[",
        "[{}",
        "[{}]x",
        "[{\"a\"1}]",
        "null",
        "[{\"a\u{1}\":1}]",
        "[\"\u{1}\"]",
    ] {
        assert!(PageDecoder::new().decode(text, &ingest).is_err(), "{text}");
    }
    assert_eq!(decode(" [ ] ").batch.num_rows(), 0);
}

#[test]
fn no_page_holds_more_records_than_can_be_asked_for() {
    let ingest = Ingest {
        run: "r".to_owned(),
        received_ms: 1,
        keep_raw: false,
    };
    let page = |records: usize| format!("[{}]", vec!["0"; records].join(","));
    let largest = PageDecoder::new().decode(&page(100_000), &ingest).unwrap();
    assert_eq!(largest.records.len(), 100_000);
    let error = PageDecoder::new().decode(&page(100_001), &ingest);
    let said = crate::error::chain(&error.unwrap_err());
    assert!(said.contains("more than 100000 records"), "{said}");
}
