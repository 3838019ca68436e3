//! What others wrote stays text.

use storyflag_release::report::{NoteKind, Report};

use super::{
    readable::{headings_and_cells, readable},
    whole::rolled_back,
};

#[test]
fn nothing_that_others_wrote_breaks_the_document() {
    const NASTY: [&str; 9] = [
        "# heading",
        "a | b | c",
        "one\n\n## two\n\n| x |\n|---|",
        "<script>alert(1)</script><!-- ",
        "```\nfence",
        "[link](http://example.com) ![image](x) *b* __c__ ~~d~~",
        "- [x] item\n1. number",
        "\u{202e}turned\u{0}\u{7}",
        "\\| \\` &lt; $x$",
    ];
    let harmless = rolled_back().told;
    let (expected_headings, expected_rows) = headings_and_cells(&Report::of(&harmless).markdown());
    for nasty in NASTY {
        let mut told = harmless.clone();
        told.transitions.iter_mut().for_each(|transition| transition.record.evidence = nasty.into());
        told.transitions.iter_mut().for_each(|transition| transition.record.actor = transition.record.actor.as_ref().map(|_| nasty.into()));
        told.notes.iter_mut().filter(|note| note.kind == NoteKind::Change).for_each(|note| note.text = nasty.into());
        told.plan.runbook.0.iter_mut().for_each(|(name, command)| (*name, *command) = (nasty.into(), nasty.into()));
        told.plan.checklists.iter_mut().flat_map(|list| &mut list.items).for_each(|item| item.text = nasty.into());
        told.plan.watch = vec![nasty.into()];
        told.plan.flag = nasty.into();
        told.environment = nasty.into();
        told.course.steps[0].cohorts = vec![nasty.into()];
        told.plan.targets.iter_mut().for_each(|target| target.text = nasty.into());
        for sums in &mut told.sums {
            sums.counts.named = std::mem::take(&mut sums.counts.named).into_values().map(|event| (nasty.to_owned(), event)).collect();
        }
        let report = Report::of(&told);
        let (headings, rows) = headings_and_cells(&report.markdown());
        assert_eq!(headings.len(), expected_headings.len(), "{nasty:?}: {headings:?}");
        assert!(rows.keys().eq(expected_rows.keys()), "{nasty:?}: {rows:?}, not {expected_rows:?}");
        readable(&report);
    }
}
