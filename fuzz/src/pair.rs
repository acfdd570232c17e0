use nosphere_model::{scopes, walk};

/// Two sessions over links that fail: whatever happens, and in whatever order, no rule of the model breaks.
///
/// The first byte chooses what the network is like, each further one what happens next.
pub fn pair(data: &[u8]) {
    let Some((&choice, steps)) = data.split_first() else { return };
    let scope = &scopes::WALKS[usize::from(choice) % scopes::WALKS.len()];
    let walk = walk::led(scope, &steps[..steps.len().min(MAX_STEPS)]);
    if let Some(broken) = walk.broken {
        let least = walk::shrink(scope, &walk.steps);
        panic!("{broken}: {} after {:#?}", scope.name, least.steps);
    }
}

/// As far as random walks go.
const MAX_STEPS: usize = 400;
