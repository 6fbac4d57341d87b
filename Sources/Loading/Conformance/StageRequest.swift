// Requests of the kit's own making, as a strategy is shown them: ordinary ones that repeat from their
// seed, and hostile ones that have everything a client may send and nothing that one need not.

import Base
import CTrivet

/// What a request says.
struct StageRequest {
    var method = Array("GET".utf8)
    var target = Array("/".utf8)
    var authority = Array("example.com".utf8)
    var client = Array("192.0.2.1".utf8)
    var session: [UInt8] = []
    var headers: [(name: [UInt8], value: [UInt8])] = []
    var sessionNode = TRIVET_NO_NODE
    var hash: UInt64 = 0
    var flags: UInt32 = 0
    var attempt: UInt32 = 0
    var tried: [UInt32] = []

    /// Number `number` of an endless row of clients that ask for this and that.
    static func ordinary(_ number: Int) -> StageRequest {
        var random = SplitMix64(seed: UInt64(number) &* 7919 &+ 17)
        var request = StageRequest()
        if number % 7 == 3 { request.method = Array("POST".utf8) }
        request.target = Array("/app/\(random.next() % 50)?page=\(random.next() % 9)".utf8)
        request.client = Array("192.0.2.\(random.next() % 250)".utf8)
        request.hash = random.next()
        request.headers = [
            (Array("Host".utf8), request.authority), (Array("Accept".utf8), Array("*/*".utf8)),
            (Array("X-User".utf8), Array("user\(random.next() % 1000)".utf8)),
            (Array("Cookie".utf8), Array("id=\(random.next() % 1000); theme=dark".utf8)),
        ]
        return request
    }

    /// What a hostile client, or an odd configuration, makes of one. `nodes`: how many there are.
    static func hostile(_ random: inout SplitMix64, nodes: Int) -> StageRequest {
        var request = StageRequest()
        request.method = bytes(&random)
        request.target = bytes(&random)
        request.authority = bytes(&random)
        request.client = bytes(&random)
        request.session = Array(bytes(&random).prefix(64))
        for _ in 0..<Int(random.next() % 6) {
            request.headers.append((name(&random), bytes(&random)))
        }
        if nodes > 0, random.next() % 2 == 0 {
            request.sessionNode = UInt32(random.next() % UInt64(nodes))
        }
        request.hash = [0, 1, .max, random.next()][Int(random.next() % 4)]
        // Any bits, also those that no header has named yet; streams among them.
        request.flags = UInt32(truncatingIfNeeded: random.next())
        request.attempt = [0, 1, 2, 100, .max][Int(random.next() % 5)]
        if nodes > 0, request.attempt > 0 {
            for _ in 0..<Int(random.next() % 40) {
                request.tried.append(UInt32(random.next() % UInt64(nodes)))
            }
        }
        return request
    }

    /// Empty, short, long, huge; text, NULs, half characters, any bytes.
    private static func bytes(_ random: inout SplitMix64) -> [UInt8] {
        let count: Int
        switch random.next() % 64 {
        case 0: count = 70_000
        case 1...12: count = 0
        case 13...20: count = 300
        default: count = Int(random.next() % 24)
        }
        let kind = random.next() % 5
        if count > 1000 {
            let byte = UInt8(truncatingIfNeeded: random.next())
            return [UInt8](repeating: byte, count: count)
        }
        return (0..<count).map { _ in
            let byte = UInt8(truncatingIfNeeded: random.next())
            return switch kind {
            case 0: byte
            case 1: byte | 0x80
            case 2: 0
            case 3: marks[Int(byte) % marks.count]
            default: 0x20 + byte % 0x5F
            }
        }
    }

    private static let marks = Array("%;=,/\"\\{} ".utf8)

    private static func name(_ random: inout SplitMix64) -> [UInt8] {
        let known = ["cookie", "X-User", "x-zone", "Host", "x-forwarded-for", "authorization"]
        if random.next() % 2 == 0 { return Array(known[Int(random.next() % 6)].utf8) }
        return bytes(&random)
    }
}

/// One request laid out as the header says.
@safe
final class LentRequest {
    let raw: UnsafeMutablePointer<trivet_request>
    private let block: UnsafeMutableRawPointer
    private let pairs: UnsafeMutablePointer<trivet_pair>
    private let pairCount: Int
    private let tried: UnsafeMutablePointer<UInt32>

    init(_ request: StageRequest) {
        let texts = [
            request.method, request.target, request.authority, request.client, request.session,
        ]
        let size =
            texts.reduce(1) { $0 + $1.count }
            + request.headers.reduce(0) { $0 + $1.name.count + $1.value.count }
        unsafe block = .allocate(byteCount: size, alignment: 1)
        var text = unsafe StageText(block)
        unsafe raw = .allocate(capacity: 1)
        unsafe raw.initialize(to: trivet_request())
        unsafe raw.pointee.size = UInt32(MemoryLayout<trivet_request>.size)
        unsafe raw.pointee.flags = request.flags
        unsafe raw.pointee.hash = request.hash
        unsafe raw.pointee.method = text.keep(request.method)
        unsafe raw.pointee.target = text.keep(request.target)
        unsafe raw.pointee.authority = text.keep(request.authority)
        unsafe raw.pointee.client = text.keep(request.client)
        unsafe raw.pointee.session = text.keep(request.session)
        unsafe raw.pointee.session_node = request.sessionNode
        unsafe raw.pointee.attempt = request.attempt
        unsafe raw.pointee.tried_count = UInt32(request.tried.count)
        unsafe tried = .allocate(capacity: max(request.tried.count, 1))
        for index in request.tried.indices { unsafe tried[index] = request.tried[index] }
        unsafe raw.pointee.tried = request.tried.isEmpty ? nil : UnsafePointer(tried)
        pairCount = request.headers.count
        unsafe pairs = .allocate(capacity: max(pairCount, 1))
        for index in request.headers.indices {
            let header = request.headers[index]
            unsafe (pairs + index).initialize(
                to: trivet_pair(key: text.keep(header.name), value: text.keep(header.value)))
        }
        unsafe raw.pointee.ctx = Unmanaged.passUnretained(self).toOpaque()
        unsafe raw.pointee.header = { request, name, n, value in
            guard let ctx = unsafe request?.pointee.ctx, let value = unsafe value else {
                return false
            }
            return unsafe Unmanaged<LentRequest>.fromOpaque(ctx)._withUnsafeGuaranteedRef {
                unsafe $0.find(name, n, value)
            }
        }
    }

    deinit {
        unsafe block.deallocate()
        unsafe pairs.deallocate()
        unsafe tried.deallocate()
        unsafe raw.deallocate()
    }

    /// The n-th header of that name, in any case. No allocation.
    private func find(
        _ name: trivet_str, _ n: UInt32, _ value: UnsafeMutablePointer<trivet_str>
    ) -> Bool {
        unsafe touch(name)
        var left = n
        for index in 0..<pairCount {
            guard unsafe Self.isSame(pairs[index].key, name) else { continue }
            if left == 0 {
                unsafe value.pointee = unsafe pairs[index].value
                return true
            }
            left -= 1
        }
        return false
    }

    private static func isSame(_ a: trivet_str, _ b: trivet_str) -> Bool {
        guard unsafe a.len == b.len else { return false }
        guard let a = unsafe a.data, let other = unsafe b.data else { return true }
        for index in unsafe 0..<b.len {
            let x = unsafe UInt8(bitPattern: a[index])
            let y = unsafe UInt8(bitPattern: other[index])
            guard lower(x) == lower(y) else { return false }
        }
        return true
    }

    private static func lower(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
    }
}
