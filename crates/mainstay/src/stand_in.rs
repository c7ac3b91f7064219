//! What `dev` does about library models that are not here: fetches them, or says why it cannot and answers from the
//! scripted provider instead, so that the first command always ends in an answer.

use std::path::Path;

use mainstay_core::Plan;
#[cfg(feature = "local")]
use mainstay_core::plan::{AgentKind, Member};
#[cfg(feature = "local")]
use mainstay_local::library::{Library, Source};
#[cfg(feature = "local")]
use mainstay_providers::providers;

#[cfg(feature = "local")]
use crate::commands::models;
#[cfg(feature = "local")]
use crate::terminal::complain;

#[cfg(feature = "local")]
const GOING_ON: &str = "  going on with the scripted provider in its place: its answers come from no model";

/// A build without local models lacks none.
#[cfg(not(feature = "local"))]
pub(crate) async fn prepare(plan: Plan, _: &Path) -> anyhow::Result<Plan> {
    Ok(plan)
}

#[cfg(feature = "local")]
/// The plan with what is missing put right. Nothing is fetched that is here already.
pub(crate) async fn prepare(mut plan: Plan, models_folder: &Path) -> anyhow::Result<Plan> {
    // A service of apps alone asks no model by itself; what its model front needs is pulled by hand.
    if !plan.agents.values().any(|agent| matches!(agent.kind, AgentKind::Declared(_))) {
        return Ok(plan);
    }
    let library = Library::new(models_folder);
    for (name, member) in &mut plan.providers {
        let needed = providers::find(&member.kind)
            .map(|def| (def.library_models)(&member.settings))
            .unwrap_or_default();
        for model in needed.iter().filter(|model| library.installed(model).is_err()) {
            complain(&format!("  provider `{name}` needs the model `{model}`, which is not here yet\n"));
            let fetched = match Source::parse(model) {
                Ok(source) => models::fetch(&library, &source).await,
                Err(error) => Err(error),
            };
            if let Err(error) = fetched {
                let help = error.help().map(|help| format!("  help: {help}\n")).unwrap_or_default();
                complain(&format!("  cannot fetch it: {error}\n{help}{GOING_ON}\n\n"));
                *member = stand_in();
                break;
            }
        }
    }
    Ok(plan)
}

#[cfg(feature = "local")]
fn stand_in() -> Member {
    Member { kind: providers::STAND_IN.kind.kind.to_owned(), settings: serde_json::json!({}) }
}
