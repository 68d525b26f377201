//! Not a guest of this host: another version of the contract, and imports that no host offers.

#[cfg(not(feature = "shell"))]
wit_bindgen::generate!({
    inline: r#"
        package airlock:operator@0.9.0;

        interface shell {
            execute: func(command: string) -> s32;
        }

        interface guest {
            run: func(command: string) -> s32;
        }

        world shell-only {
            import shell;
            export guest;
        }
    "#,
});

#[cfg(feature = "shell")]
wit_bindgen::generate!({
    inline: r#"
        package airlock:operator@0.1.0;

        interface shell {
            execute: func(command: string) -> s32;
        }

        interface guest {
            run: func(command: string) -> s32;
        }

        world shell-only {
            import shell;
            export guest;
        }
    "#,
});

struct Stray;

impl exports::airlock::operator::guest::Guest for Stray {
    fn run(command: String) -> i32 {
        #[cfg(feature = "shell")]
        return airlock::operator::shell::execute(&command);
        #[cfg(not(feature = "shell"))]
        return command.len() as i32;
    }
}

export!(Stray);
