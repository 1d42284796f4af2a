//! What became of the calls, by the time they came.

use super::{
    Fate, INK, SHADE,
    chart::{Clock, Error, MARGINS, edges, mesh, owned, shade},
};
use crate::lab::{scenario::Scenario, study::Studied, trace::Book};
use plotters::{coord::Shift, prelude::*};

/// Calls per second by what became of them; the outage is shaded.
pub(crate) fn timeline(
    scenario: &Scenario,
    book: &Book,
    size: (u32, u32),
) -> Result<String, Error> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area, scenario, book, None)?;
        area.present().map_err(owned)?;
    }
    Ok(svg)
}

/// The timelines of several arms in one picture, with a key.
pub(crate) fn overview(scenario: &Scenario, arms: &[(String, &Studied)]) -> Result<String, Error> {
    const WIDTH: u32 = 920;
    const PANEL: u32 = 206;
    const HEAD: u32 = 62;
    let rows = arms.len().div_ceil(2);
    let mut svg = String::new();
    {
        let size = (WIDTH, HEAD + PANEL * rows as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let (head, panels) = area.split_vertically(HEAD);
        let title = ("sans-serif", 21).into_font().color(&INK);
        let text = format!("{}: {}", scenario.name, scenario.title);
        head.draw_text(&text, &title, (12, 8)).map_err(owned)?;
        draw_key(&head, arms)?;
        for (panel, (name, result)) in panels.split_evenly((rows, 2)).iter().zip(arms) {
            draw(panel, scenario, &result.book, Some(name))?;
        }
        area.present().map_err(owned)?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_key(area: &Area<'_>, arms: &[(String, &Studied)]) -> Result<(), Error> {
    let style = ("sans-serif", 16).into_font().color(&INK);
    let seen = |fate: &Fate| {
        let mut calls = arms.iter().flat_map(|(_, result)| &result.book.calls);
        calls.any(|call| Fate::of(call) == *fate)
    };
    let fates = Fate::ALL.into_iter().filter(seen);
    let fates = fates.map(|fate| (fate.colour().mix(1.0), fate.name()));
    let mut x = 12;
    for (colour, name) in fates.chain([(INK.mix(SHADE), "outage")]) {
        let square = Rectangle::new([(x, 40), (x + 12, 52)], colour.filled());
        area.draw(&square).map_err(owned)?;
        area.draw_text(name, &style, (x + 18, 39)).map_err(owned)?;
        // No font is measured: letters of this size are 6 to 7 wide.
        x += 38 + 13 * name.chars().count() as i32 / 2;
    }
    Ok(())
}

fn draw(
    area: &Area<'_>,
    scenario: &Scenario,
    book: &Book,
    caption: Option<&str>,
) -> Result<(), Error> {
    let clock = Clock::of(scenario);
    let all = clock.rates(scenario, book.calls.iter().map(|call| call.at));
    let top = all.iter().copied().fold(1.0, f64::max) * 1.15;
    let end = scenario.lasts.ms() as f64 / clock.unit;
    let mut builder = ChartBuilder::on(area);
    if let Some(caption) = caption {
        builder.caption(caption, ("sans-serif", 17).into_font().color(&INK));
    }
    let mut chart = builder
        .margin(6)
        .margin_right(20)
        .x_label_area_size(MARGINS.1)
        .y_label_area_size(MARGINS.0)
        .build_cartesian_2d(0.0..end, 0.0..top)
        .map_err(owned)?;
    shade(&mut chart, scenario, &clock, top)?;
    let mut below = vec![0.0; all.len()];
    for fate in Fate::ALL {
        let calls = book.calls.iter().filter(|call| Fate::of(call) == fate);
        let rates = clock.rates(scenario, calls.map(|call| call.at));
        if rates.iter().all(|rate| *rate == 0.0) {
            continue;
        }
        let mut outline = Vec::with_capacity(2 * rates.len());
        outline.extend(below.iter().enumerate().map(|(nth, y)| (clock.at(nth), *y)));
        for (below, rate) in below.iter_mut().zip(&rates) {
            *below += rate;
        }
        let upper = below.iter().enumerate().rev();
        outline.extend(upper.map(|(nth, y)| (clock.at(nth), *y)));
        let polygon = Polygon::new(outline, fate.colour().filled());
        chart.draw_series([polygon]).map_err(owned)?;
    }
    edges(&mut chart, scenario, &clock, top)?;
    mesh(&mut chart, clock.name, "calls/s", &|x| format!("{x:.0}"))?;
    Ok(())
}
