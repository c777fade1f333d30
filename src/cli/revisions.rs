//! Which commits the revisions of the hub are at that a pipeline names.
//!
//! A commit's hash is itself, and the hub's cache on disk tells where a branch or tag was last seen. Only `run`
//! has the hub asked, by a worker, before the plan is made: the commits are in the keys.

use std::collections::BTreeMap;

use super::Fault;
use super::failures;
use super::pipeline::Hub;
use crate::diag::{Code, Diagnostic};
use crate::exec;
use crate::hub::{self, Answer, Ask, Repo, Settings};
use crate::plan::Outline;
use crate::spec::{At, Spec};

/// Takes into `outline` what is known, and what the hub answers. What it refuses is among the diagnostics.
pub(super) fn resolve(
    spec: &Spec,
    outline: &mut Outline,
    hub: Hub,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Fault> {
    let asks = outline.asks();
    if asks.is_empty() {
        return Ok(());
    }
    let settings = Settings::of_user();
    let mut open: BTreeMap<Ask, At> = BTreeMap::new();
    for (ask, at) in asks {
        let known =
            settings.cache.as_ref().and_then(|cache| cache.commit(&Repo::of(&ask.repo), &ask.revision));
        let moves = !hub::is_commit(&ask.revision);
        match known {
            Some(commit) if !(moves && matches!(hub, Hub::Ask { refresh: true, .. })) => {
                outline.resolve(&ask, commit);
            }
            _ => drop(open.insert(ask, at)),
        }
    }
    let (worker, refresh) = match hub {
        Hub::Ask { worker, refresh } => (worker, refresh),
        Hub::Tell => {
            diagnostics.extend(open.iter().map(|(ask, at)| spec.diagnose(at, unresolved(ask))));
            return Ok(());
        }
        Hub::Cache => return Ok(()),
    };
    if open.is_empty() {
        return Ok(());
    }
    if settings.is_offline {
        diagnostics.extend(open.iter().map(|(ask, at)| spec.diagnose(at, offline(ask, refresh))));
        return Ok(());
    }
    let asks: Vec<Ask> = open.keys().cloned().collect();
    let answers = exec::resolve(worker, &asks)?;
    for ((ask, at), answer) in open.iter().zip(answers) {
        match answer {
            Answer::Commit(commit) => outline.resolve(ask, commit),
            Answer::Failed(failure) => {
                diagnostics.push(spec.diagnose(at, failures::diagnostic(&failure)));
            }
        }
    }
    Ok(())
}

fn offline(ask: &Ask, refresh: bool) -> Diagnostic {
    let Ask { repo, revision, .. } = ask;
    if refresh {
        return Diagnostic::error(
            Code::HubOffline,
            format!("where `{revision}` of `{repo}` is now, only the hub knows, and HF_HUB_OFFLINE is set"),
        )
        .help("leave `--refresh` out to use the commit that was seen last, or unset HF_HUB_OFFLINE");
    }
    Diagnostic::error(Code::HubOffline, format!("which commit `{revision}` of `{repo}` is, is not known here, and HF_HUB_OFFLINE is set"))
        .note("the hub's cache on this machine has never seen it (HF_HOME and HF_HUB_CACHE say where that is)")
        .help(format!(
            "run once without HF_HUB_OFFLINE; where the files are there, name their commit: `{}{repo}@COMMIT`; or name a folder",
            hub::SCHEME
        ))
}

fn unresolved(ask: &Ask) -> Diagnostic {
    let text = format!("which commit `{}` of `{}` is, is not known yet", ask.revision, ask.repo);
    Diagnostic::warning(Code::HubUnresolved, text)
        .note("until it is, whether the files are there is not known either, nor what is up to date")
        .help("`tartan run` asks the hub")
}
