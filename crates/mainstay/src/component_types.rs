//! The types of component that this build has, as config checks resource files against them. Opens none.

use mainstay_components::def::{Def, SettingDef};
use mainstay_components::settings::Settings;
use mainstay_components::{secret_stores, state};
use mainstay_config::resources::{SettingName, TypeDef, Types};
use mainstay_core::Fault;

/// What is the same for the types of every building block.
struct Row {
    kind: &'static str,
    aliases: &'static [&'static str],
    versions: &'static [&'static str],
    settings: &'static [SettingDef],
    check: fn(&Settings) -> Vec<Fault>,
}

impl Row {
    fn of<P: ?Sized>(def: &'static Def<P>) -> Self {
        let Def { kind, aliases, versions, settings, check, .. } = def;
        Self { kind, aliases, versions, settings, check: *check }
    }
}

/// Every type, block by block.
fn rows() -> Vec<Row> {
    state::ALL.iter().map(Row::of).chain(secret_stores::ALL.iter().map(Row::of)).collect()
}

/// Hands the types to whoever reads resource files.
pub(crate) fn with<R>(read: impl FnOnce(Types<'_>) -> R) -> R {
    let rows = rows();
    let name = |setting: &SettingDef| SettingName {
        name: setting.name,
        required: setting.required,
        secret: setting.secret,
    };
    let settings: Vec<Vec<SettingName<'_>>> =
        rows.iter().map(|row| row.settings.iter().map(name).collect()).collect();
    let types: Vec<TypeDef<'_>> = rows
        .iter()
        .zip(&settings)
        .map(|(row, settings)| TypeDef {
            kind: row.kind,
            aliases: row.aliases,
            versions: row.versions,
            settings,
        })
        .collect();
    let check = |kind: &str, settings: &[(&str, Option<&str>)]| {
        let Some(row) = rows.iter().find(|row| row.kind == kind) else { return Vec::new() };
        let owned = |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
        (row.check)(&Settings::new(settings.iter().map(owned)))
    };
    read(Types { types: &types, check: &check })
}

#[cfg(test)]
mod tests {
    use mainstay_config::resources::{File, Surroundings, load};

    use super::*;

    /// What is said of a component of a type without settings.
    fn said(kind: &str) -> String {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: x }}\nspec: {{ type: {kind}, version: v1 }}\n"
        );
        let file = File { name: "x.yaml", text: &text };
        let loaded = with(|types| load(&[file], &Surroundings { types: Some(types), variables: &|_| None }));
        loaded.faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_type_of_the_registries_is_known_to_config() {
        assert!(rows().len() > 2);
        for row in rows() {
            assert!(!said(row.kind).contains("no component type"), "{}", row.kind);
        }
        assert_eq!(said("state.embedded"), "");
        assert!(said("state.embeded").contains("no component type `state.embeded`"));
    }
}
