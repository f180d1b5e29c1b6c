//! The figures of a lake, for people.

use std::fmt::Write;

use serde_json::Value;

use super::lake_status::{GapStatus, LakeStatus, LeftOut, TableStatus, UnprovenStatus};
use crate::commit::{KnownFailure, LakeSource};
use crate::error::ErrorKind;
use crate::job::runs::{self, FailureView};
use crate::table::{self, TableError};
use crate::text::plain::PlainText;
use crate::text::report::Report;
use crate::text::units::{bytes, counted, number};

impl LakeStatus {
    fn write_table(&self, o: &mut PlainText) -> std::fmt::Result {
        let Some(table) = &self.table else {
            return writeln!(o, "table       none: the next run makes it");
        };
        let TableStatus {
            version,
            is_current,
            is_of_others,
            missing,
        } = *table;
        write!(o, "table       version {version}")?;
        if missing > 0 {
            let loss = TableError::Missing { missing };
            writeln!(o, "; {loss}")?;
            if let Some(advice) = loss.advice() {
                writeln!(o, "            {advice}")?;
            }
            return Ok(());
        }
        match (is_current, self.left_out.is_empty()) {
            (true, _) => {}
            (false, true) if is_of_others => write!(o, ", {}", table::OF_OTHERS)?,
            (false, true) => write!(o, ", {}", table::BEHIND)?,
            (false, false) => write!(o, ", behind the commits, of which some cannot be read")?,
        }
        writeln!(o)
    }

    fn write_gaps(&self, o: &mut PlainText) -> std::fmt::Result {
        for GapStatus {
            window,
            slices,
            reason,
        } in &self.gaps
        {
            match slices {
                0 => writeln!(o, "hole        {} to {}", window.from, window.until)?,
                _ => writeln!(
                    o,
                    "gap         {} to {} ({})",
                    window.from,
                    window.until,
                    counted(*slices, "slice", "slices")
                )?,
            }
            match reason {
                Some(KnownFailure { run, error, .. }) => writeln!(o, "            {run}: {error}")?,
                None if self.table.as_ref().is_some_and(|table| table.missing > 0) => writeln!(
                    o,
                    "            no run says why; its commit may be one of those that are missing"
                )?,
                None => writeln!(
                    o,
                    "            no run says why; scan --from {} --until {} fills it",
                    window.from, window.until
                )?,
            }
        }
        Ok(())
    }

    fn write_unproven(&self, o: &mut PlainText) -> std::fmt::Result {
        for UnprovenStatus {
            window,
            slices,
            committed,
            asked,
            reason,
        } in &self.unproven
        {
            writeln!(
                o,
                "unproven    {} to {} ({}, {} of them with rows)",
                window.from,
                window.until,
                counted(*slices, "slice", "slices"),
                number(*committed)
            )?;
            if let Some(asked) = asked {
                writeln!(
                    o,
                    "            the service returned nothing for the rest on {asked}; it may no longer have it"
                )?;
            }
            if let Some(KnownFailure { run, error, .. }) = reason {
                writeln!(o, "            {run}: {error}")?;
            }
        }
        Ok(())
    }

    fn write_runs(&self, o: &mut PlainText) -> std::fmt::Result {
        for run in &self.runs {
            let text = |key: &str| {
                run.get(key)
                    .and_then(Value::as_str)
                    .unwrap_or("?")
                    .to_owned()
            };
            writeln!(o, "run         {} {}", text("run"), text("status"))?;
            let failures = run.get("failures").and_then(Value::as_array);
            for failure in failures.into_iter().flatten() {
                writeln!(o, "            {}", FailureView(failure))?;
            }
        }
        Ok(())
    }
}

impl Report for LakeStatus {
    /// The exit code: 5 where the lake is behind, or commits or compactions are missing; what could not be
    /// read decides it, too.
    fn exit_code(&self) -> u8 {
        let has_lost = self.table.as_ref().is_some_and(|table| table.missing > 0);
        let is_short = has_lost || !self.behind.is_empty();
        let kinds = self.left_out.iter().map(|left_out| left_out.exit);
        ErrorKind::worst(kinds.chain(is_short.then_some(ErrorKind::Data)))
            .map_or(0, ErrorKind::exit_code)
    }

    fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        let slices = match self.source {
            LakeSource::Scan => {
                let Self { lake, clock, .. } = self;
                writeln!(o, "lake        {lake} ({} by {clock})", self.api_host)?;
                writeln!(o, "begin       {}", self.begin)?;
                counted(self.slices, "slice", "slices")
            }
            LakeSource::Convert => {
                writeln!(o, "lake        {} (converted files)", self.lake)?;
                counted(self.slices, "input", "inputs")
            }
        };
        if let Some(watermark) = &self.watermark {
            writeln!(o, "watermark   {watermark}")?;
        }
        writeln!(
            o,
            "holds       {}, {}, {slices}",
            counted(self.rows, "row", "rows"),
            bytes(self.bytes),
        )?;
        self.write_table(o)?;
        for window in &self.coverage {
            writeln!(o, "covers      {} to {}", window.from, window.until)?;
        }
        self.write_gaps(o)?;
        for remark in runs::remarks(&self.begun_in_vain) {
            writeln!(o, "begun       {remark}")?;
        }
        for LeftOut {
            what,
            error,
            advice,
            ..
        } in &self.left_out
        {
            writeln!(o, "{what:<11} {error}")?;
            if let Some(advice) = advice {
                writeln!(o, "            {advice}")?;
            }
        }
        self.write_unproven(o)?;
        for (day, of_day) in &self.days {
            writeln!(
                o,
                "{day}  {:>14}  {:>11}  {:>9}",
                counted(of_day.rows, "row ", "rows"),
                counted(of_day.files, "file ", "files"),
                bytes(of_day.bytes)
            )?;
        }
        self.write_runs(o)?;
        for behind in &self.behind {
            writeln!(o, "BEHIND      {behind}")?;
        }
        Ok(())
    }
}
