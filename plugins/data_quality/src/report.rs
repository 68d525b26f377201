//! The report: one HTML page with pictures as inline SVG, without scripts and without anything from elsewhere, in light and dark.
//! Every text of the data is escaped here, in `Html::text`, and nowhere else. It refuses to decide.

use crate::check::{Check, Verdict};
use crate::drift::Drifted;
use crate::inspect::Measured;
use crate::stats::Cdf;
use airlock_sdk::prelude::*;
use airlock_sdk::storage;
use std::fmt::Write as _;
use std::io::Write as _;

/// The most rows of a table in the page; what is worst comes first.
const ROWS_MAX: usize = 200;
/// The most columns that are drawn.
const PICTURES_MAX: usize = 60;
/// Bins of a picture.
const BINS: u32 = 24;
/// A picture's size, in units of its own.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 80.0;

const STYLE: &str = "
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--faint:#656d76;--line:#d0d7de;--now:#0969da;--then:#9a6700;--good:#1a7f37;--bad:#cf222e}
@media(prefers-color-scheme:dark){:root{--ground:#0d1117;--text:#e6edf3;--faint:#8d96a0;--line:#30363d;--now:#58a6ff;--then:#d29922;--good:#3fb950;--bad:#f85149}}
body{background:var(--ground);color:var(--text);font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.good{color:var(--good)}.bad{color:var(--bad)}.faint{color:var(--faint)}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem}
figure{margin:0}figcaption{overflow-wrap:anywhere;font-size:.85rem}svg{width:100%;height:auto}
.now{fill:var(--now);opacity:.55}.then{fill:none;stroke:var(--then);stroke-width:1.5}.axis{stroke:var(--line)}.nulls{fill:var(--bad)}
";

/// A page that is being written.
struct Html(String);

impl Html {
    /// Markup of ours, never of the data.
    fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Text of anybody.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Nothing unseen turns the order of letters round.
                c if c.is_control()
                    || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
                {
                    self.0.push('\u{fffd}');
                }
                c => self.0.push(c),
            }
        }
    }

    fn element(&mut self, open: &str, text: &str, close: &str) {
        self.raw(open);
        self.text(text);
        self.raw(close);
    }
}

/// Everything that a page tells.
pub(crate) struct Report<'a> {
    pub(crate) uri: &'a str,
    pub(crate) task: &'a Task,
    pub(crate) measured: &'a Measured,
    pub(crate) checks: &'a [Check],
    pub(crate) verdict: &'a Verdict<'a>,
    pub(crate) drifted: Option<&'a Drifted>,
}

impl Report<'_> {
    /// Writes the page, durably.
    pub(crate) fn write(&self, to: &str) -> Result<(), TaskError> {
        let write = || -> Result<(), TaskError> {
            let mut writer = storage::create(to)?;
            let written = writer.write_all(self.page().as_bytes());
            written.map_err(|error| TaskError::transient(error.to_string()))?;
            writer.finish()?;
            Ok(())
        };
        write().map_err(|error| error.context(&format!("write {to}")))
    }

    pub(crate) fn page(&self) -> String {
        let mut html = Html(String::new());
        html.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">");
        // Nothing is fetched and nothing runs, even if an escape were forgotten.
        html.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">");
        html.raw("<title>Data quality</title><style>");
        html.raw(STYLE);
        html.raw("</style></head><body>");
        self.head(&mut html);
        self.checks(&mut html);
        self.nulls(&mut html);
        if let Some(drifted) = self.drifted {
            pictures(drifted, &mut html);
        }
        html.raw("</body></html>\n");
        html.0
    }

    fn head(&self, html: &mut Html) {
        let (class, word) = match self.verdict.failed.len() {
            0 => ("good", "passed".to_owned()),
            failed if self.verdict.passes() => ("bad", format!("passed with {failed} warnings")),
            failed => ("bad", format!("failed: {failed} checks")),
        };
        html.element(
            &format!("<h1>Data quality: <span class=\"{class}\">"),
            &word,
            "</span></h1>",
        );
        html.element("<p>", self.uri, "<br>");
        let of = format!(
            "{}, task {}, {}",
            self.task.dag_id,
            self.task.task_id,
            self.task
                .logical_date
                .map_or_else(|| self.task.run_id.clone(), |date| date.to_string())
        );
        html.element("<span class=\"faint\">", &of, "</span></p>");
        if let Some(drifted) = self.drifted {
            let reference = if drifted.judged {
                format!("The reference is made of {} earlier dates.", drifted.dates)
            } else {
                format!(
                    "Drift is not judged: only {} earlier dates passed.",
                    drifted.dates
                )
            };
            html.element("<p>", &reference, "</p>");
        }
    }

    /// Failed ones first.
    fn checks(&self, html: &mut Html) {
        html.raw("<h2>Checks</h2><table><tr><th>Check<th>Column<th>Value<th>Bound<th></tr>");
        let passed = self.checks.iter().filter(|check| check.passed);
        let all: Vec<&Check> = self.verdict.failed.iter().copied().chain(passed).collect();
        for check in all.iter().take(ROWS_MAX) {
            html.element("<tr><td>", check.name, "<td>");
            html.text(check.column.as_deref().unwrap_or_default());
            html.element("<td>", &short(check.actual), "<td>");
            html.text(&format!("{} {}", check.bound, short(check.threshold)));
            html.raw(if check.passed {
                "<td class=\"good\">pass</tr>"
            } else {
                "<td class=\"bad\">FAIL</tr>"
            });
        }
        html.raw("</table>");
        left_out(all.len(), ROWS_MAX, html);
    }

    fn nulls(&self, html: &mut Html) {
        html.raw("<h2>Null rates</h2><table>");
        let rate = |column| (self.measured.null_rate(column), column);
        let mut rates: Vec<_> = self.measured.columns.iter().map(rate).collect();
        rates.sort_by(|one, other| other.0.total_cmp(&one.0));
        for (rate, column) in rates.iter().take(ROWS_MAX) {
            html.element("<tr><td>", &column.column.name, "<td>");
            let _ = write!(
                html.0,
                "<svg viewBox=\"0 0 200 10\" width=\"200\" role=\"img\" aria-label=\"{0:.2} %\"><rect class=\"nulls\" width=\"{1:.1}\" height=\"10\"/><path class=\"axis\" d=\"M0 10H200\"/></svg><td>{0:.2} %</tr>",
                rate * 100.0,
                rate.clamp(0.0, 1.0) * 200.0
            );
        }
        html.raw("</table>");
        left_out(rates.len(), ROWS_MAX, html);
    }
}

fn left_out(all: usize, shown: usize, html: &mut Html) {
    if all > shown {
        let text = format!("{} more are left out.", all - shown);
        html.element("<p class=\"faint\">", &text, "</p>");
    }
}

/// Both distributions of each compared column, those that are furthest apart first.
fn pictures(drifted: &Drifted, html: &mut Html) {
    html.raw("<h2>Distributions</h2><p class=\"faint\">Filled: now. Line: the reference.</p><div class=\"pictures\">");
    let all = drifted.compared.iter();
    let mut order: Vec<_> = all
        .map(|compared| (compared.1.ks(&compared.2), compared))
        .collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0));
    for (_, (name, now, then)) in order.iter().take(PICTURES_MAX) {
        html.raw("<figure>");
        picture(now, then, html);
        html.element("<figcaption>", name, "</figcaption></figure>");
    }
    html.raw("</div>");
    left_out(order.len(), PICTURES_MAX, html);
}

/// A histogram of both over the same bins of equal width.
fn picture(now: &Cdf, then: &Cdf, html: &mut Html) {
    let (Some(one), Some(other)) = (now.range(), then.range()) else {
        return;
    };
    let (low, high) = (one.0.min(other.0), one.1.max(other.1));
    let edge = |bin: u32| {
        let part = f64::from(bin) / f64::from(BINS);
        // Written so that the difference of the largest floats does not overflow.
        low * (1.0 - part) + high * part
    };
    let shares = |cdf: &Cdf| -> Vec<f64> {
        let start = |bin| if bin == 0 { 0.0 } else { cdf.up_to(edge(bin)) };
        let end = |bin| {
            if bin == BINS {
                1.0
            } else {
                cdf.up_to(edge(bin))
            }
        };
        (0..BINS).map(|bin| end(bin + 1) - start(bin)).collect()
    };
    let (now, then) = (shares(now), shares(then));
    let top = now.iter().chain(&then).copied().fold(1e-9, f64::max);
    let step = WIDTH / f64::from(BINS);
    let _ = write!(
        html.0,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"histogram\">"
    );
    let (mut x, mut line) = (0.0, String::new());
    for (now, then) in now.iter().zip(&then) {
        let height = now / top * HEIGHT;
        let _ = write!(
            html.0,
            "<rect class=\"now\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
            HEIGHT - height,
            step - 1.0
        );
        let start = if line.is_empty() { 'M' } else { 'L' };
        let y = HEIGHT - then / top * HEIGHT;
        let _ = write!(line, "{start}{x:.1} {y:.1}H{:.1}", x + step);
        x += step;
    }
    let _ = write!(
        html.0,
        "<path class=\"then\" d=\"{line}\"/><path class=\"axis\" d=\"M0 {HEIGHT}H{WIDTH}\"/></svg><div class=\"faint\">"
    );
    html.text(&format!("{} to {}", short(low), short(high)));
    html.raw("</div>");
}

/// Six digits are enough for a person.
fn short(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e9).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
