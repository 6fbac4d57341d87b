// What other processes and files say: answers to probes, files that claim to be plugins, the words of a
// trial child, the memory of a board and of crumbs.

import Balance
import Base
import Loading
import Proxy

/// The first byte chooses the question, the second the limit; then what the node answers.
func readReply(_ bytes: [UInt8]) throws(Finding) {
    var draws = Draws(bytes)
    let kind: ProbePlan.Kind = draws.byte() & 1 == 0 ? .http : .tcp
    let limit = Int(draws.byte())
    let answer = draws.rest()
    for method in ["GET", "HEAD"] {
        func read(_ pieces: () -> Int) throws(Finding) -> (ReplyReader, ReplyReader.Progress) {
            let reader = ReplyReader(
                kind, method: method, limit: limit, until: kind == .tcp ? [0x0A, 0x0A] : [])
            var at = 0
            while at < answer.count {
                let end = min(answer.count, at + pieces())
                let progress = reader.take(answer.span.extracting(at..<end))
                try expect(reader.body.count <= limit, "\(reader.body.count) of \(limit) bytes")
                if progress != .more { return (reader, progress) }
                at = end
            }
            return (reader, reader.end())
        }
        let (whole, first) = try read { max(answer.count, 1) }
        let (cut, second) = try read { 1 }
        switch (first, second) {
        case (.broken, .broken): break
        // In pieces the reader may have had all it wants before the rest of the bytes breaks.
        case (.broken, .done): break
        default:
            try expect(first == second, "\(first) at once, \(second) in pieces")
            try expect(whole.status == cut.status, "another status in pieces")
            if kind == .http {
                try expect(whole.body == cut.body, "another body in pieces")
            }
        }
    }
}

func lookAtELF(_ bytes: [UInt8]) throws(Finding) {
    do throws(Refusal) { try ELF.inspect(bytes) } catch {
        try expect(!error.sentence.isEmpty, "refused without a sentence")
    }
}

func readTrialWire(_ bytes: [UInt8]) throws(Finding) {
    if let job = TrialJob(bytes) {
        try expect(TrialJob(job.encoded) == job, "another job")
    }
    if let record = PluginRecord(bytes) {
        try expect(PluginRecord(record.encoded) == record, "another record")
    }
    let files = [
        PluginFile(path: "a.so", isBundled: false), PluginFile(path: "b", isBundled: true),
    ]
    let words = TrialWord.read(bytes, files: files)
    var writer = FieldWriter()
    for word in words { word.write(to: &writer) }
    try expect(TrialWord.read(writer.bytes, files: files) == words, "other words")
}

private let boardPools = [
    PoolSpec(
        name: "pool",
        nodes: (1...3).map {
            NodeSpec(id: $0, name: "node\($0)", address: "192.0.2.\($0):80", weight: 10)
        }, hasCheck: true)
]

/// The input is written over a sound board, eight bytes at a time, each with the word it goes to before
/// it; then whoever looks on reads it, and a new process adopts it.
func readBoard(_ bytes: [UInt8]) throws(Finding) {
    let size = Board.bytesNeeded(pools: boardPools, workers: 2)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    defer { unsafe memory.deallocate() }
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
    do throws(Refusal) {
        _ = unsafe try Board(memory: memory, pools: boardPools, workers: 2, adopt: false)
    } catch { throw Finding("no board in a memory of its size: \(error)") }
    var draws = Draws(bytes)
    while !draws.isOver {
        let word = Int(draws.number(bytes: 2)) % (size / 8)
        let value = draws.number(bytes: 8)
        unsafe memory.storeBytes(of: value, toByteOffset: word * 8, as: UInt64.self)
    }
    if let reader = unsafe BoardReader(memory: UnsafeRawBufferPointer(memory)) {
        for row in reader.rows() {
            try expect(row.name.utf8.count <= 96 * 3, "a name longer than its place")
        }
    }
    _ = unsafe CrumbReader(memory: UnsafeRawBufferPointer(memory))?.standings()
    let board: Board
    do throws(Refusal) {
        board = unsafe try Board(memory: memory, pools: boardPools, workers: 2, adopt: true)
    } catch { throw Finding("a damaged board is in the way of a new one: \(error)") }
    let rows = board.snapshot()
    try expect(rows.map(\.name) == ["node1", "node2", "node3"], "other nodes: \(rows.map(\.name))")
    for index in rows.indices { _ = board.health(row: index) }

    // The page of crumbs, of which the input is all there is.
    let crumbs = UnsafeMutableRawBufferPointer.allocate(
        byteCount: CrumbPage.bytesNeeded(workers: 2), alignment: 64)
    defer { unsafe crumbs.deallocate() }
    unsafe crumbs.initializeMemory(as: UInt8.self, repeating: 0)
    _ = unsafe CrumbPage(memory: crumbs, workers: 2)
    draws = Draws(bytes)
    while !draws.isOver {
        let word = Int(draws.number(bytes: 2)) % (crumbs.count / 8)
        let value = draws.number(bytes: 8)
        unsafe crumbs.storeBytes(of: value, toByteOffset: word * 8, as: UInt64.self)
    }
    if let reader = unsafe CrumbReader(memory: UnsafeRawBufferPointer(crumbs)) {
        for standing in reader.standings() {
            try expect(!standing.what.isEmpty, "a standing without words")
        }
    }
}
