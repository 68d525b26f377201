//! The plugin `{{name}}`.

use airlock_sdk::prelude::*;

/// Whom to greet.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hello {
    /// A name.
    name: String,
}

/// Greets.
#[operator]
fn hello(config: Hello, task: &Task) -> Result<String, TaskError> {
    if config.name.is_empty() {
        return Err(TaskError::invalid("name", "nobody is there to greet"));
    }
    info!("try {} of {}", task.try_number, task.max_tries);
    Ok(format!("Hello, {}!", config.name))
}

airlock_sdk::plugin!(operators: [hello]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets() {
        let host = airlock_sdk::testing::Host::new();
        let ended = host.run::<hello>(json!({"name": "Ada"}));
        assert_eq!(ended, Ok(Outcome::Success(json!("Hello, Ada!"))));
    }

    #[test]
    fn nobody_is_refused() {
        let host = airlock_sdk::testing::Host::new();
        let ended = host.run::<hello>(json!({"name": ""}));
        assert_eq!(ended, Err(TaskError::invalid("name", "nobody is there to greet")));
    }
}
