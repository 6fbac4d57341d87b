// The strategy "rendezvous" in Rust: the same client always gets the same node, and a node that comes
// or goes moves only the clients it wins or loses (Thaler and Ravishankar 1998, "Using name-based
// mappings to increase hit rates").
//
//     rustc --edition 2021 -O --crate-type cdylib -C panic=abort -C strip=symbols \
//         -o librendezvous.so rendezvous.rs
//
// One file, no crates, no allocation after `create`. The first half says in Rust what
// trivet_plugin.h says in C, as far as this strategy needs it; the layouts never change.

use std::ffi::c_void;
use std::ptr;

// --- trivet_plugin.h ------------------------------------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy)]
struct Str {
    data: *const u8,
    len: usize,
}

impl Str {
    const fn of(text: &'static str) -> Str {
        Str { data: text.as_ptr(), len: text.len() }
    }

    /// Lent for as long as the header says.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.len == 0 { &[] } else { std::slice::from_raw_parts(self.data, self.len) }
    }
}

#[repr(C)]
struct Error {
    data: *mut u8,
    capacity: usize,
    len: usize,
}

#[repr(C)]
struct Opt {
    name: Str,
    summary: Str,
}

#[repr(C)]
struct Json {
    kind: u32,
    reserved: u32,
    number: f64,
    text: Str,
}
const JSON_MISSING: u32 = 0;
const JSON_STRING: u32 = 4;

#[repr(C)]
struct Host {
    size: u32,
    abi_minor: u32,
    ctx: *mut c_void,
    log: extern "C" fn(*const Host, u32, Str),
    now: extern "C" fn(*const Host) -> u64,
    random: extern "C" fn(*const Host) -> u64,
    metric: extern "C" fn(*const Host, u32, Str, Str) -> u32,
    metric_add: extern "C" fn(*const Host, u32, f64),
    json: extern "C" fn(*const Host, Str, Str) -> Json,
}

#[repr(C)]
struct Node {
    id: u64,
    name: Str,
    address: Str,
    state: u32,
    weight: u32,
    tier: u32,
    metadata_count: u32,
    metadata: *const c_void,
}

#[repr(C)]
struct Pool {
    size: u32,
    node_count: u32,
    node_stride: u32,
    load_stride: u32,
    ready_count: u32,
    reserved: u32,
    nodes: *const u8,
    load: *const u8,
    ready: *const u32,
    seed: u64,
    name: Str,
    ctx: *mut c_void,
    ticket: extern "C" fn(*const Pool) -> u64,
}

impl Pool {
    unsafe fn ready(&self) -> &[u32] {
        if self.ready_count == 0 {
            return &[];
        }
        std::slice::from_raw_parts(self.ready, self.ready_count as usize)
    }

    /// Arrays of nodes are walked by stride: a later Trivet may lend longer ones.
    unsafe fn node(&self, index: u32) -> &Node {
        &*(self.nodes.add(index as usize * self.node_stride as usize) as *const Node)
    }
}

#[repr(C)]
struct Request {
    size: u32,
    flags: u32,
    ctx: *mut c_void,
    hash: u64,
    method: Str,
    target: Str,
    authority: Str,
    client: Str,
    session: Str,
    session_node: u32,
    reserved: u32,
    attempt: u32,
    tried_count: u32,
    tried: *const u32,
    header: extern "C" fn(*const Request, Str, u32, *mut Str) -> bool,
}

#[repr(C)]
struct Pick {
    node: u32,
    flags: u32,
    token: u64,
    reason: Str,
    session: Str,
}
const PASS: u32 = 0;
const PICKED: u32 = 1;

#[repr(C)]
struct Setup {
    size: u32,
    worker: u32,
    worker_count: u32,
    reserved: u32,
    config: Str,
    pool: *const Pool,
}

#[repr(C)]
struct Strategy {
    size: u32,
    flags: u32,
    name: Str,
    summary: Str,
    state_version: u32,
    option_count: u32,
    options: *const Opt,
    data: *mut c_void,
    create: extern "C" fn(*const Strategy, *const Host, *const Setup, *mut Error) -> *mut c_void,
    destroy: extern "C" fn(*mut c_void),
    pick: extern "C" fn(*mut c_void, *const Pool, *const Request, *mut Pick) -> u32,
    // Optional functions: null.
    update: Option<extern "C" fn(*mut c_void, *const Pool, u32)>,
    result: Option<extern "C" fn(*mut c_void, *const Pool, *const c_void)>,
    save: Option<extern "C" fn(*mut c_void, *mut c_void)>,
    load: Option<extern "C" fn(*mut c_void, *const Pool, u32, Str) -> bool>,
    describe: Option<extern "C" fn(*mut c_void, *const Pool, *mut c_void)>,
}

#[repr(C)]
pub struct Plugin {
    size: u32,
    abi_minor: u32,
    flags: u32,
    reserved: u32,
    name: Str,
    version: Str,
    strategies: *const *const Strategy,
    checks: *const *const c_void,
    retire: Option<extern "C" fn()>,
}

/// Tables are written by the compiler and never changed: any thread may read them.
#[repr(transparent)]
struct Table<T>(T);
unsafe impl<T> Sync for Table<T> {}

// --- the strategy ---------------------------------------------------------------------------------

/// One instance, of one worker and pool: never called by two threads at once.
struct Rendezvous {
    /// The header whose value says who the client is; empty: its address does.
    header: Vec<u8>,
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The finalizer of MurmurHash3: one bit of the input changes half of the output's.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

impl Rendezvous {
    unsafe fn pick(&self, pool: &Pool, request: &Request) -> Option<u32> {
        let mut client = request.client;
        if !self.header.is_empty() {
            let name = Str { data: self.header.as_ptr(), len: self.header.len() };
            let mut value = Str { data: ptr::null(), len: 0 };
            if (request.header)(request, name, 0, &mut value) {
                client = value;
            }
        }
        let key = fnv1a(client.bytes()) ^ pool.seed;
        let tried = if request.tried_count == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(request.tried, request.tried_count as usize)
        };
        // The node with the highest score for this client: O(ready nodes).
        pool.ready()
            .iter()
            .copied()
            .filter(|node| !tried.contains(node))
            .max_by_key(|node| mix(key ^ mix(pool.node(*node).id)))
    }
}

extern "C" fn create(
    _: *const Strategy, host: *const Host, setup: *const Setup, error: *mut Error,
) -> *mut c_void {
    unsafe {
        let value = ((*host).json)(host, (*setup).config, Str::of("/header"));
        let header = match value.kind {
            JSON_MISSING => Vec::new(),
            JSON_STRING if value.text.len > 0 => value.text.bytes().to_vec(),
            _ => return refuse(error, "option \"header\" must be the name of a header in quotes"),
        };
        Box::into_raw(Box::new(Rendezvous { header })) as *mut c_void
    }
}

unsafe fn refuse(error: *mut Error, sentence: &str) -> *mut c_void {
    let len = sentence.len().min((*error).capacity);
    ptr::copy_nonoverlapping(sentence.as_ptr(), (*error).data, len);
    (*error).len = len;
    ptr::null_mut()
}

extern "C" fn destroy(me: *mut c_void) {
    drop(unsafe { Box::from_raw(me as *mut Rendezvous) });
}

extern "C" fn pick(
    me: *mut c_void, pool: *const Pool, request: *const Request, out: *mut Pick,
) -> u32 {
    unsafe {
        match (*(me as *const Rendezvous)).pick(&*pool, &*request) {
            Some(node) => {
                (*out).node = node;
                (*out).reason = Str::of("highest score for this client");
                PICKED
            }
            None => PASS,
        }
    }
}

/// It keeps nothing that depends on the nodes, so a change of them needs no other instance.
extern "C" fn update(_: *mut c_void, _: *const Pool, _: u32) {}

static OPTIONS: Table<[Opt; 1]> = Table([Opt {
    name: Str::of("header"),
    summary: Str::of("header that says who the client is (default: its address does)"),
}]);

static STRATEGY: Table<Strategy> = Table(Strategy {
    size: std::mem::size_of::<Strategy>() as u32,
    flags: 0,
    name: Str::of("rendezvous"),
    summary: Str::of("each client on the node with the highest score for it"),
    state_version: 0,
    option_count: 1,
    options: &OPTIONS.0 as *const Opt,
    data: ptr::null_mut(),
    create,
    destroy,
    pick,
    update: Some(update),
    result: None,
    save: None,
    load: None,
    describe: None,
});

static STRATEGIES: Table<[*const Strategy; 2]> = Table([&STRATEGY.0, ptr::null()]);

static PLUGIN: Table<Plugin> = Table(Plugin {
    size: std::mem::size_of::<Plugin>() as u32,
    abi_minor: 0,
    flags: 0,
    reserved: 0,
    name: Str::of("rendezvous"),
    version: Str::of("1.0.0"),
    strategies: &STRATEGIES.0 as *const *const Strategy,
    checks: ptr::null(),
    retire: None,
});

/// The entry that Trivet looks for.
#[no_mangle]
pub extern "C" fn trivet_plugin_v1(_: *const c_void, _: *mut c_void) -> *const Plugin {
    &PLUGIN.0
}
