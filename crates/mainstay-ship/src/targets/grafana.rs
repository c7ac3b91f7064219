//! Grafana: a dashboard of the service, over the figures that it shows.
//!
//! The dashboard is the same for every environment: which one is shown is chosen in it. It has nothing of what only a
//! runtime beside an app shows, since a shipped service does not.

mod panels;

use serde_json::{Value, json};

use mainstay_core::{Result, metric};

use self::panels::{Panel, Row, Style};
use super::kubernetes::{self, labels};
use super::{Rendered, Target};
use crate::label::slug;
use crate::promql::quoted;
use crate::value::dense;
use crate::workload::Workload;
use crate::{File, Shipment};

pub(super) const TARGET: Target =
    Target { name: "grafana", about: "Grafana: a dashboard, and what provisions it", needs: &[], render };

/// Columns of a dashboard.
const COLUMNS: u32 = 24;
/// Rows of a panel.
const HEIGHT: u32 = 8;
/// Characters of a dashboard's id.
const UID_MAX: usize = 40;
/// The version of the dashboard's format.
const SCHEMA: u32 = 39;

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let (header, workload) = (shipment.project.header(), shipment.workload);
    let text = dashboard_text(workload);
    let map = config_map(workload, &text);
    let files = vec![
        File::yaml("config-map.yaml", &header, map),
        File::new("dashboard.json", text),
        File::yaml("provisioning.yaml", &header, provisioning()),
        File::new("README.md", header.lines("<!--") + "\n" + &readme(workload)),
    ];
    Ok(Rendered { files, notes: Vec::new() })
}

fn dashboard_text(workload: &Workload) -> String {
    let mut text = serde_json::to_string_pretty(&dashboard(workload)).expect("a value is JSON");
    text.push('\n');
    text
}

fn dashboard(workload: &Workload) -> Value {
    let name = &workload.name;
    dense(json!({
        "uid": slug(&format!("mainstay-{name}"), UID_MAX),
        "title": format!("{name} (Mainstay)"),
        "description": format!("Written by `mainstay ship grafana` for the service `{name}`."),
        "tags": ["mainstay", name],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "",
        "time": { "from": "now-6h", "to": "now" },
        "annotations": { "list": [] },
        "templating": { "list": [
            {
                "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
                "hide": 0, "refresh": 1,
            },
            variable("namespace", "Namespace", name),
            variable("instance", "Replica", name),
        ] },
        "panels": placed(&panels::rows(workload)),
    }))
}

/// A choice among a label's values. Without a namespace the label is empty, which `.*` matches.
fn variable(label: &str, title: &str, job: &str) -> Value {
    let query = format!("label_values({}{{job={}}}, {label})", metric::BUILD.name, quoted(job));
    json!({
        "name": label, "label": title, "type": "query",
        "datasource": source(),
        "definition": query,
        "query": { "query": query, "refId": label },
        "includeAll": true, "multi": true, "allValue": ".*",
        "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
        "hide": 0, "refresh": 2, "sort": 1,
    })
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// The panels, each with its number and its place: row by row, from left to right.
fn placed(rows: &[Row]) -> Vec<Value> {
    let mut out = Vec::new();
    let mut y = 0;
    for row in rows {
        let id = out.len() + 1;
        out.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
        }));
        y += 1;
        let mut x = 0;
        for panel in &row.panels {
            if x + panel.width > COLUMNS {
                (x, y) = (0, y + HEIGHT);
            }
            let place = json!({ "x": x, "y": y, "w": panel.width, "h": HEIGHT });
            out.push(drawn(panel, out.len() + 1, place));
            x += panel.width;
        }
        y += HEIGHT;
    }
    out
}

fn drawn(panel: &Panel, id: usize, place: Value) -> Value {
    let queries: Vec<Value> = ('A'..='Z')
        .zip(&panel.queries)
        .map(|(letter, (query, legend))| {
            json!({ "refId": letter, "datasource": source(), "expr": query, "legendFormat": legend, "range": true })
        })
        .collect();
    let (kind, custom) = match panel.style {
        Style::Lines => {
            ("timeseries", Some(json!({ "lineWidth": 1, "fillOpacity": 0, "showPoints": "never" })))
        }
        Style::Stacked => (
            "timeseries",
            Some(json!({
                "lineWidth": 1, "fillOpacity": 25, "showPoints": "never",
                "stacking": { "mode": "normal", "group": "A" },
            })),
        ),
        Style::Number => ("stat", None),
    };
    let options = match panel.style {
        Style::Lines | Style::Stacked => json!({
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
            "tooltip": { "mode": "multi", "sort": "desc" },
        }),
        Style::Number => json!({
            "colorMode": "none", "graphMode": "area", "textMode": "auto",
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
        }),
    };
    json!({
        "id": id, "type": kind, "title": panel.title, "description": panel.about,
        "datasource": source(), "gridPos": place, "targets": queries,
        "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0, "custom": custom }, "overrides": [] },
        "options": options,
    })
}

/// What the sidecar of Grafana's chart looks for: a label, and the dashboard.
fn config_map(workload: &Workload, dashboard: &str) -> Value {
    let mut labels = labels(workload);
    labels["grafana_dashboard"] = "1".into();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": format!("{}-dashboard", workload.name),
            "namespace": kubernetes::namespace_name(workload),
            "labels": labels,
        },
        "data": { (format!("{}.json", workload.name)): dashboard },
    })
}

/// The folder that a Grafana without Kubernetes takes dashboards from.
fn provisioning() -> Value {
    json!({
        "apiVersion": 1,
        "providers": [{
            "name": "mainstay",
            "type": "file",
            "folder": "Mainstay",
            "disableDeletion": true,
            "allowUiUpdates": false,
            "options": { "path": "/etc/grafana/dashboards" },
        }],
    })
}

fn readme(workload: &Workload) -> String {
    let namespace = kubernetes::namespace_name(workload);
    let name = &workload.name;
    format!(
        "# Dashboard of {name}\n\n\
         - By hand: import `dashboard.json`.\n\
         - From files: `provisioning.yaml` to `/etc/grafana/provisioning/dashboards/`, `dashboard.json` to\n  \
         `/etc/grafana/dashboards/`.\n\
         - On Kubernetes, where Grafana's sidecar looks for the label `grafana_dashboard`:\n  \
         `kubectl -n {namespace} apply -f config-map.yaml`.\n\n\
         Data source, namespace and replica are chosen in it. It looks for the job `{name}`, as the alerts do.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::tests::unknown;
    use crate::workload::tests::workload;

    #[test]
    fn every_panel_asks_for_what_is_shown() {
        let rows = panels::rows(&workload());
        for panel in rows.iter().flat_map(|row| &row.panels) {
            assert!(!panel.queries.is_empty(), "{}", panel.title);
            for (query, _) in &panel.queries {
                assert_eq!(unknown(query, &[]), None, "{}", panel.title);
            }
        }
    }

    #[test]
    fn every_metric_is_on_the_dashboard() {
        let text = dashboard_text(&workload());
        for metric in &metric::ALL {
            assert!(text.contains(metric.name), "{} is nowhere", metric.name);
        }
    }

    #[test]
    fn panels_do_not_lie_on_each_other() {
        let panels = placed(&panels::rows(&workload()));
        let place = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
        let mut taken = std::collections::BTreeSet::new();
        for panel in &panels {
            assert!(place(panel, "x") + place(panel, "w") <= u64::from(COLUMNS));
            for x in 0..place(panel, "w") {
                for y in 0..place(panel, "h") {
                    let cell = (place(panel, "x") + x, place(panel, "y") + y);
                    assert!(taken.insert(cell), "{} lies on another", panel["title"]);
                }
            }
        }
    }
}
