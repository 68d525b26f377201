//! A plain command-line program that knows nothing of Airlock: its first argument says what it does. The tests of `wasi-command`
//! run it, some of it hostile.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |index: usize| arguments.get(index).map(String::as_str).unwrap_or_default();
    match argument(1) {
        "echo" => println!("{}", arguments[2..].join(" ")),
        "name" => println!("{}", argument(0)),
        "env" => {
            let mut variables: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            variables.sort();
            println!("{}", variables.join(","));
        }
        "stdin" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).expect("stdin is text");
            println!("{}", text.len());
            println!("{{\"read\":{}}}", text.trim().len());
        }
        "exit" => {
            eprintln!("it ends with {}", argument(2));
            std::process::exit(argument(2).parse().expect("a code"));
        }
        "panic" => panic!("it gives up"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "flood" => loop {
            println!("{}", "f".repeat(1000));
        },
        "eat" => {
            let mut held = Vec::new();
            loop {
                held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "copy" => {
            let bytes = fs::read(argument(2)).expect("the input is there");
            println!("{} bytes", bytes.len());
            fs::write(argument(3), bytes).expect("the output can be written");
        }
        "return" => fs::write("return.json", argument(2)).expect("return.json can be written"),
        "link" => {
            #[expect(deprecated, reason = "the other names of it are not stable for WASI")]
            let linked = fs::soft_link(argument(2), argument(3));
            println!("{}", told(linked.map(|()| "linked")));
        }
        "read" => println!("{}", told(fs::read_to_string(argument(2)).map(|text| text.len()))),
        "list" => {
            let found = fs::read_dir(argument(2)).map(|entries| {
                let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
                let mut names: Vec<String> = names.collect();
                names.sort();
                names.join(",")
            });
            println!("{}", told(found));
        }
        "connect" => println!("{}", told(std::net::TcpStream::connect(argument(2)).map(|_| "connected"))),
        "quota" => println!("{}", quota(argument(2))),
        other => panic!("it does not know {other:?}"),
    }
}

fn told<T: std::fmt::Display>(result: std::io::Result<T>) -> String {
    match result {
        Ok(value) => format!("ok {value}"),
        Err(error) => format!("refused {:?}", error.kind()),
    }
}

/// Ways to fill a folder; each says how many bytes it got in before it was refused.
fn quota(way: &str) -> String {
    let chunk = vec![7_u8; 16 << 10];
    match way {
        "write" => {
            let mut file = File::create("x").expect("one file");
            let mut written = 0;
            while file.write_all(&chunk).is_ok() {
                written += chunk.len();
            }
            format!("wrote {written}")
        }
        "append" => {
            let mut written = 0;
            loop {
                let file = OpenOptions::new().append(true).create(true).open("x");
                match file.and_then(|mut file| file.write_all(&chunk)) {
                    Ok(()) => written += chunk.len(),
                    Err(_) => return format!("appended {written}"),
                }
            }
        }
        "hole" => {
            let mut file = File::create("x").expect("one file");
            file.seek(SeekFrom::Start(1 << 40)).expect("a place");
            let hole = file.write_all(b"x").is_err();
            format!("hole refused {hole}, length refused {}", file.set_len(1 << 40).is_err())
        }
        "names" => {
            let made = (0..100_000).take_while(|number| File::create(format!("{number}")).is_ok()).count();
            format!("made {made}")
        }
        "folders" => {
            let made = (0..100_000).take_while(|number| fs::create_dir(format!("{number}")).is_ok()).count();
            format!("made {made}")
        }
        // Files without a name, held open: their bytes are there still.
        "ghosts" => {
            let mut held = Vec::new();
            let mut written = 0;
            'all: for number in 0..100 {
                let name = format!("{number}");
                let Ok(mut file) = File::create(&name) else { break };
                for _ in 0..4 {
                    if file.write_all(&chunk).is_err() {
                        break 'all;
                    }
                    written += chunk.len();
                }
                fs::remove_file(&name).expect("its own file");
                held.push(file);
            }
            format!("hid {written}")
        }
        // What is written over again and again takes no more room.
        "again" => {
            for round in 0..200 {
                if fs::write("x", &chunk).is_err() {
                    return format!("refused in round {round}");
                }
            }
            "wrote again and again".to_owned()
        }
        other => panic!("it knows no way {other:?}"),
    }
}
