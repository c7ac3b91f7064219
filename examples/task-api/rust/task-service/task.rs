//! A task, and what a client may say of one.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_api::events::Event;
use uuid::Uuid;

/// What a client says of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Draft {
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default = "usual")]
    pub priority: u8,
    pub owner_id: Option<String>,
}

fn usual() -> u8 {
    3
}

impl Draft {
    /// The draft, if it is within bounds; else what is not.
    pub fn checked(self) -> Result<Self, String> {
        match () {
            () if !(1..=200).contains(&self.title.chars().count()) => {
                Err("`title` must have 1 to 200 characters".to_owned())
            }
            () if self.description.chars().count() > 2000 => {
                Err("`description` must have at most 2000 characters".to_owned())
            }
            () if !(1..=5).contains(&self.priority) => Err("`priority` must be 1 to 5".to_owned()),
            () => Ok(self),
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    InProgress,
    Completed,
}

/// A task as it is kept, under the key `task-ID`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    #[serde(flatten)]
    pub draft: Draft,
    pub task_id: String,
    pub status: Status,
    pub created_at: String,
    pub updated_at: String,
}

impl Task {
    pub fn new(draft: Draft) -> Self {
        let (task_id, at) = (Uuid::new_v4().simple().to_string(), now());
        Self { draft, task_id, status: Status::Pending, created_at: at.clone(), updated_at: at }
    }

    /// The same with what a client says of it now.
    pub fn with(self, draft: Draft) -> Self {
        Self { draft, updated_at: now(), ..self }
    }

    /// The same at another status.
    pub fn at(self, status: Status) -> Self {
        Self { status, updated_at: now(), ..self }
    }

    /// What happened to it.
    pub fn event(&self, kind: &str, correlation: Option<String>) -> Event {
        let correlation = correlation.unwrap_or_else(|| Uuid::new_v4().to_string());
        Event {
            event_id: Uuid::new_v4().to_string(),
            event_type: kind.to_owned(),
            occurred_at: now(),
            data: self.told(),
            metadata: json!({ "correlation_id": correlation, "source": "task-service" }),
        }
    }

    fn told(&self) -> Value {
        json!({
            "task_id": self.task_id,
            "title": self.draft.title,
            "status": self.status,
            "priority": self.draft.priority,
            "owner_id": self.draft.owner_id,
        })
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}
