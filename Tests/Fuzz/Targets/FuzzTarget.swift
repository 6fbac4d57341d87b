// The fuzz targets, by name. A target is a function from bytes to nothing: it throws a Finding where
// something that must hold does not, and traps where the code under test does. libFuzzer drives them
// (Tests/Fuzz/Driver), and Tests/FuzzTests replays every seed with plain `swift test`.

/// What must not be, seen.
package struct Finding: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Throws a Finding unless it holds.
func expect(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws(Finding) {
    if !holds { throw Finding(otherwise()) }
}

package struct FuzzTarget: Sendable {
    /// Also the folder of its seeds.
    package let name: String
    /// Inputs longer than this teach nothing more.
    package let longest: Int
    package let run: @Sendable ([UInt8]) throws(Finding) -> Void

    init(
        _ name: String, longest: Int = 1024,
        _ run: @escaping @Sendable ([UInt8]) throws(Finding) -> Void
    ) {
        self.name = name
        self.longest = longest
        self.run = run
    }

    package static let all = [
        FuzzTarget("request-head", readRequestHead),
        FuzzTarget("response-head", readResponseHead),
        FuzzTarget("chunked", readChunked),
        FuzzTarget("forward-request", forwardRequest),
        FuzzTarget("forward-response", forwardResponse),
        FuzzTarget("client-hello", readClientHello),
        FuzzTarget("proxy-header", longest: 512, readProxyHeader),
        FuzzTarget("cookies", removeCookies),
        FuzzTarget("session", openSession),
        FuzzTarget("json5", readJSON5),
        FuzzTarget("json-find", findJSON),
        FuzzTarget("configuration", readConfiguration),
        FuzzTarget("addresses", longest: 128, readAddresses),
        FuzzTarget("probe-reply", readReply),
        FuzzTarget("strategy-answers", answerAsStrategy),
        FuzzTarget("check-answers", answerAsCheck),
        FuzzTarget("elf", longest: 4096, lookAtELF),
        FuzzTarget("trial-wire", readTrialWire),
        FuzzTarget("board", longest: 4096, readBoard),
    ]

    package static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// Decisions drawn from an input: which bytes it has decides, so that the same input always does the same,
/// and any text can be a seed.
struct Choices {
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325

    init(_ bytes: [UInt8]) {
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    }

    /// 0 ..< limit, which is above 0.
    mutating func next(_ limit: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(limit))
    }
}

/// Fields of fixed sizes taken from the front of an input; zeros when it is used up.
struct Draws {
    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isOver: Bool { at >= bytes.count }

    mutating func byte() -> UInt8 {
        guard at < bytes.count else { return 0 }
        defer { at += 1 }
        return bytes[at]
    }

    /// Little-endian.
    mutating func number(bytes count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(byte()) << UInt64(8 * index) }
        return value
    }

    /// A byte of length and as many bytes.
    mutating func text() -> [UInt8] {
        let count = Int(byte())
        return (0..<count).compactMap { _ in isOver ? nil : byte() }
    }

    mutating func rest() -> [UInt8] {
        defer { at = bytes.count }
        return at < bytes.count ? Array(bytes[at...]) : []
    }
}

/// What `body` writes into a span of that capacity; nil if it says that it does not fit.
func written(
    capacity: Int, _ body: (inout OutputSpan<UInt8>) -> Bool
) -> [UInt8]? {
    var fitted = false
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
        var out = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
        fitted = body(&out)
        count = unsafe out.finalize(for: buffer)
    }
    return fitted ? bytes : nil
}

/// For the sentence of a Finding: bytes as one line.
func shown(_ bytes: [UInt8]) -> String {
    var text = ""
    for byte in bytes {
        text.unicodeScalars.append(
            contentsOf: Unicode.Scalar(byte).escaped(asASCII: true).unicodeScalars)
    }
    return text
}
