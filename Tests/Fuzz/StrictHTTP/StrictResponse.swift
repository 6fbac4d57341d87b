// A response by the second opinion: RFC 9112, 4 (the line) and 6.3 (whether it has a body at all).

package struct StrictResponse: Equatable {
    package let minor: Int
    package let status: Int
    package let reason: [UInt8]
    package let fields: [StrictField]
    package let framing: StrictFraming
    package let body: [UInt8]
    package let trailers: [StrictField]
    package let headLength: Int
    package let length: Int

    /// The first message in the bytes, as the answer to this method. A body that only the end of the
    /// connection ends takes all that is there.
    package init(_ bytes: [UInt8], to method: String) throws(Refusal) {
        var reading = Reading(bytes)
        let line = try reading.line()
        // HTTP-version SP status-code SP [ reason-phrase ]
        guard line.count >= 13, line[8] == 0x20, line[12] == 0x20 else {
            throw Refusal("a status line without its three parts")
        }
        minor = try minorVersion(line[..<8])
        let digits = line[9..<12]
        guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw Refusal("a status that is no number")
        }
        status = digits.reduce(0) { $0 * 10 + Int($1) - 0x30 }
        guard (100...599).contains(status) else { throw Refusal("a status of no class") }
        reason = Array(line[13...])
        guard reason.allSatisfy(isFieldByte) else { throw Refusal("a control in the reason") }
        fields = try reading.fields()
        headLength = reading.at
        let coding = try Coding(fields, minor: minor)
        if status < 200 || status == 204 {
            // RFC 9110, 8.6 and RFC 9112, 6.1: neither may be sent with these.
            guard case .none = coding else { throw Refusal("a framed body with status \(status)") }
        }
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            (framing, body, trailers) = (.none, [], [])
        } else {
            switch coding {
            case .none:
                (framing, body, trailers) = (.untilClose, try reading.take(reading.rest), [])
            case .length(let count):
                (framing, body, trailers) = (.length(count), try reading.take(count), [])
            case .chunked:
                framing = .chunked
                (body, trailers) = try reading.chunked()
            }
        }
        length = reading.at
    }

    package func values(_ name: String) -> [[UInt8]] {
        fields.filter { $0.isNamed(name) }.map(\.value)
    }
}
