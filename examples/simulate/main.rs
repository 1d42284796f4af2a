mod lab;
use lab::{arms::Arm, engine, figures::*, scenario::Scenario};
fn main() {
    let scenario = Scenario::named(&std::env::args().nth(1).unwrap()).unwrap();
    for arm in Arm::of(&scenario).unwrap() {
        #[allow(clippy::disallowed_types)]
        let t = std::time::Instant::now();
        let book = engine::run(&scenario, &arm, 1).unwrap();
        let f = Figures::of(&scenario, &book);
        println!("{:28} {:016x} {:?} calls {} attempts {}", arm.name, book.hash(), t.elapsed(), book.calls.len(), book.attempts.len());
        for g in Figure::ALL { print!("{}={} ", g.facts().0, g.write(f.get(g))); }
        println!();
    }
}
