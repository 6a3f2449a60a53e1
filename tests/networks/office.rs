//! An office behind one address: everybody's browser keeps its connections, and all come in.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use ecoute::web;
use tungstenite::WebSocket;

use crate::internet::Internet;
use crate::namespace::with_networks;
use crate::support::client::{connect, read_response, register_on, request};

const PEOPLE: usize = 200;

/// Between two people: all are there within 20 s, which is before the first idle connection is closed for its age.
const BETWEEN: Duration = Duration::from_millis(100);

/// So many connections a browser has to one server.
const OF_BROWSER: usize = 6;

/// What a browser has open after it has loaded a page.
struct Browser {
    _idle: Vec<BufReader<TcpStream>>,
    _pages: Vec<WebSocket<TcpStream>>,
}

/// Loads both pages as a browser does; returns what did not load, too.
fn load(address: SocketAddr, tokens: &[String; 2]) -> (Browser, Vec<(String, u16)>) {
    let mut files = web::all().iter().map(|page| page.path.as_str());
    let failed = Mutex::new(Vec::new());
    let get = |client: &mut BufReader<TcpStream>, path: &str| {
        // A server may close what is idle at any moment; browsers ask again on another connection (RFC 9112 §9.3.1).
        if client.get_mut().write_all(request(path, "").as_bytes()).is_err() {
            *client = connect(address);
            client.get_mut().write_all(request(path, "").as_bytes()).unwrap();
        }
        match read_response(client).0 {
            200 => {}
            status => failed.lock().unwrap().push((path.to_owned(), status)),
        }
    };
    let mut idle = vec![connect(address)];
    get(&mut idle[0], "/commercial");
    idle.extend((1..OF_BROWSER).map(|_| connect(address)));
    while let Some(path) = files.next() {
        let more = [path].into_iter().chain(files.by_ref().take(OF_BROWSER - 1)).collect::<Vec<_>>();
        thread::scope(|scope| {
            for (client, path) in idle.iter_mut().zip(more) {
                scope.spawn(move || get(client, path));
            }
        });
    }
    let mut pages = Vec::new();
    for token in tokens {
        let (websocket, answer) = register_on(connect(address).into_inner(), token);
        if answer["event"] != "user_registered" {
            failed.lock().unwrap().push((answer.to_string(), 0));
        }
        pages.push(websocket);
    }
    (Browser { _idle: idle, _pages: pages }, failed.into_inner().unwrap())
}

#[test]
fn two_hundred_people_behind_one_address_open_both_pages() {
    with_networks(|| {
        let internet = Internet::new();
        let ecoute = internet.start(&[]);
        let (office, other) = (internet.home("office", 1), internet.home("other", 2));
        let tokens: Vec<[String; 2]> = (0..PEOPLE)
            .map(|n| ["commercial", "admin"].map(|role| ecoute.token(role, &format!("{role}{n}"), "Léa")))
            .collect();
        [&office, &other].iter().for_each(|home| home.host.settle());
        let address = ecoute.address;
        let began = Instant::now();
        let loaded: Vec<(Browser, Vec<(String, u16)>)> = office.host.enter(|| {
            let people: Vec<_> = tokens
                .into_iter()
                .map(|tokens| {
                    thread::sleep(BETWEEN);
                    thread::spawn(move || load(address, &tokens))
                })
                .collect();
            people.into_iter().map(|person| person.join().unwrap()).collect()
        });
        let failed: Vec<&(String, u16)> = loaded.iter().flat_map(|(_, failed)| failed).collect();
        assert!(failed.is_empty(), "{} failed, like {:?}", failed.len(), failed[0]);
        assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
        let status = other.host.enter(|| {
            let mut client = connect(address);
            client.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
            read_response(&mut client).0
        });
        assert_eq!(status, 200);
    });
}
