//! Which settings to try, and which of them are worth a look.

use tower_claude::BoxError;

/// Settings, by name and value.
pub(crate) type Point = Vec<(String, String)>;

/// The values of one sweep.
fn values(sweep: &str) -> Result<(String, Vec<String>), BoxError> {
    let wrong = || format!("`{sweep}` is no sweep: write NAME=A,B,C or NAME=1..5");
    let (name, values) = sweep.split_once('=').ok_or_else(wrong)?;
    let values = match values.split_once("..") {
        Some((from, to)) => {
            let to = to.trim_start_matches('=');
            let (from, to): (u32, u32) = (from.parse()?, to.parse()?);
            (from..=to).map(|value| value.to_string()).collect()
        }
        None => values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect(),
    };
    Ok((name.to_owned(), values))
}

/// Each value of each sweep with each of the others.
pub(crate) fn points(sweeps: &[String]) -> Result<Vec<Point>, BoxError> {
    let mut points = vec![Point::new()];
    for sweep in sweeps {
        let (name, values) = values(sweep)?;
        points = points
            .into_iter()
            .flat_map(|point| {
                let name = &name;
                values.iter().map(move |value| {
                    let mut point = point.clone();
                    point.push((name.clone(), value.clone()));
                    point
                })
            })
            .collect();
    }
    Ok(points)
}

/// Whether `a` is nowhere worse than `b` and somewhere better.
fn dominates(a: &[f64], b: &[f64]) -> bool {
    let mut pairs = a.iter().zip(b);
    a.iter().zip(b).all(|(a, b)| a <= b) && pairs.any(|(a, b)| a < b)
}

/// The settings that no other betters in everything.
pub(crate) fn front(costs: &[Vec<f64>]) -> Vec<bool> {
    let beaten = |cost: &Vec<f64>| costs.iter().any(|other| dominates(other, cost));
    costs.iter().map(|cost| !beaten(cost)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_multiply_and_a_range_has_both_its_ends() {
        let sweeps = ["a=1..3".to_owned(), "b=x,y".to_owned()];
        let points = points(&sweeps).unwrap();
        assert_eq!(points.len(), 6);
        assert_eq!(
            points[5],
            [("a".into(), "3".into()), ("b".into(), "y".into())]
        );
    }

    #[test]
    fn the_front_leaves_out_what_something_else_betters() {
        let costs = [
            vec![1.0, 5.0],
            vec![2.0, 2.0],
            vec![3.0, 3.0],
            vec![1.0, 5.0],
        ];
        assert_eq!(front(&costs), [true, true, false, true]);
    }
}
