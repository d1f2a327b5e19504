//! One line for each row: `name  measured  goal  ok|short`.

use std::path::PathBuf;

use serde_json::{Value, json};

pub(crate) struct Report(Vec<Row>);

struct Row {
    name: String,
    measured: f64,
    goal: Option<Goal>,
}

#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Report {
    pub(crate) fn new() -> Self {
        println!("{:<66} {:>10} {:>10}", "", "measured", "goal");
        Self(Vec::new())
    }

    /// A row with a goal.
    pub(crate) fn row(&mut self, name: impl Into<String>, measured: f64, goal: Goal) {
        self.push(Row { name: name.into(), measured, goal: Some(goal) });
    }

    /// A figure for orientation.
    pub(crate) fn figure(&mut self, name: impl Into<String>, measured: f64) {
        self.push(Row { name: name.into(), measured, goal: None });
    }

    fn push(&mut self, row: Row) {
        let measured = round(row.measured);
        let (goal, verdict) = match row.goal {
            Some(Goal::AtMost(goal)) => (format!("≤ {goal}"), row.verdict()),
            Some(Goal::AtLeast(goal)) => (format!("≥ {goal}"), row.verdict()),
            None => (String::new(), ""),
        };
        println!("{:<66} {measured:>10} {goal:>10}  {verdict}", row.name);
        self.0.push(row);
    }

    /// As JSON, for those who compare runs.
    pub(crate) fn write(&self, quick: bool) {
        let rows: Vec<Value> = self.0.iter().map(Row::to_json).collect();
        let report = json!({"quick": quick, "rows": rows});
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
        let file = target.join("ratios.json");
        std::fs::write(&file, format!("{report:#}\n")).expect("the report is written");
        let short = self.0.iter().filter(|row| row.verdict() == "short").count();
        let of = self.0.iter().filter(|row| row.goal.is_some()).count();
        println!("{} of {of} goals reached", of - short);
    }
}

impl Row {
    fn verdict(&self) -> &'static str {
        let reached = match self.goal {
            Some(Goal::AtMost(goal)) => self.measured <= goal,
            Some(Goal::AtLeast(goal)) => self.measured >= goal,
            None => return "",
        };
        if reached { "ok" } else { "short" }
    }

    fn to_json(&self) -> Value {
        let goal = self.goal.map(|goal| match goal {
            Goal::AtMost(goal) => json!({"at_most": goal}),
            Goal::AtLeast(goal) => json!({"at_least": goal}),
        });
        json!({"name": self.name, "measured": self.measured, "goal": goal, "verdict": self.verdict()})
    }
}

/// Three figures that count.
fn round(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else if value.abs() >= 1.0 {
        3
    } else {
        4
    };
    format!("{value:.digits$}")
}
