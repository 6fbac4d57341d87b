// Messages damaged at random, with a fixed seed: nothing crashes, and whatever is accepted means the
// same when what was forwarded for it is read again, by this parser and by a slow one that was
// written apart from it and knows only the grammar.

import Base
import Testing

@testable import HTTP

/// A second, independent reading of a request head: lines split at CRLF, fields at the first colon.
/// Nil for anything that is not of the plainest shape.
private struct PlainReading: Equatable {
    var start: String
    var fields: [[String]] = []

    init?(_ head: String) {
        guard head.hasSuffix("\r\n\r\n") else { return nil }
        // "\r\n" is one Character to Swift, so look at scalars.
        var lines: [String] = [""]
        let scalars = Array(head.unicodeScalars)
        var index = 0
        while index < scalars.count {
            if scalars[index] == "\r" {
                guard index + 1 < scalars.count, scalars[index + 1] == "\n" else { return nil }
                lines.append("")
                index += 2
                continue
            }
            guard scalars[index] != "\n", scalars[index] != "\0" else { return nil }
            lines[lines.count - 1].unicodeScalars.append(scalars[index])
            index += 1
        }
        guard lines.count >= 3, lines[lines.count - 1] == "", lines[lines.count - 2] == "" else {
            return nil
        }
        start = lines[0]
        for line in lines[1..<lines.count - 2] {
            let scalars = line.unicodeScalars
            guard let colon = scalars.firstIndex(of: ":"), colon > scalars.startIndex else {
                return nil
            }
            let name = String(scalars[..<colon])
            guard !name.contains(" "), !name.contains("\t") else { return nil }
            var value = scalars[scalars.index(after: colon)...]
            while let first = value.first, first == " " || first == "\t" { value.removeFirst() }
            while let last = value.last, last == " " || last == "\t" { value.removeLast() }
            fields.append([name.lowercased(), String(value)])
        }
    }

    func values(_ name: String) -> [String] {
        fields.filter { $0[0] == name }.map { $0[1] }
    }
}

private let interesting: [UInt8] = [
    0, 9, 10, 13, 32, 34, 35, 43, 44, 45, 48, 58, 59, 61, 64, 91, 127, 128, 255,
]
private let snippets = [
    "\r\n", "\n", " ", "\r\n ", "Host: b\r\n", "Content-Length: 4\r\n", "chunked", ", ",
    "Transfer-Encoding: chunked\r\n", "Connection: x, host\r\n", "\r\n\r\n",
    "Upgrade: websocket\r\n",
    "0\r\n\r\n", ";a=b", "\t", "Expect: 100-continue\r\n", "HTTP/1.0", "http://c",
].map(latin)

/// Damages a message in one to three places.
private func mutate(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var bytes = bytes
    for _ in 0...random.next() % 3 {
        let place = Int(random.next() % UInt64(bytes.count + 1))
        switch random.next() % 6 {
        case 0: if place < bytes.count { bytes[place] = UInt8(truncatingIfNeeded: random.next()) }
        case 1:
            if place < bytes.count {
                bytes[place] = interesting[Int(random.next() % UInt64(interesting.count))]
            }
        case 2: if place < bytes.count { bytes.remove(at: place) }
        case 3:
            bytes.insert(interesting[Int(random.next() % UInt64(interesting.count))], at: place)
        case 4:
            bytes.insert(
                contentsOf: snippets[Int(random.next() % UInt64(snippets.count))], at: place)
        default: if place < bytes.count { bytes[place] ^= 0x20 }
        }
    }
    return bytes
}

@Suite("Damaged messages")
struct MutationTests {
    static let requests = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /a?b=c HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
        "GET http://b/c HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x\r\nX: 1\r\nTE: trailers\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nMax-Forwards: 4\r\nA:\u{E9}\t\r\n\r\n",
    ].map(latin)

    @Test("an accepted request has one meaning, here, at the node and for another reader")
    func requestsKeepTheirMeaning() {
        var random = SplitMix64(seed: 0x7269_7665_7401)
        var accepted = 0
        for round in 0..<20_000 {
            let original = Self.requests[round % Self.requests.count]
            let bytes = mutate(original, &random)
            let trusted = random.next() & 1 == 0
            let request = Request(bytes, trusted: trusted, passUpgrade: true)
            guard case .complete(let length) = request.outcome else { continue }
            accepted += 1
            // What comes after the head has no say in it.
            let cut = Request(Array(bytes[..<length]), trusted: trusted, passUpgrade: true)
            #expect(cut == request)
            guard let forwarded = request.forwarded else {
                Issue.record("round \(round): not written")
                continue
            }
            let sent = latin(forwarded)
            let again = Request(sent, trusted: true, passUpgrade: true)
            let isHostless = request.authority.isEmpty
            if isHostless {
                // An HTTP/1.0 client without a host, and no node address to put there.
                #expect(request.minorVersion == 0 && again.status == 400)
            } else {
                #expect(again.outcome == .complete(length: sent.count), "round \(round)")
                #expect(again.method == request.method && again.methodText == request.methodText)
                #expect(again.framing == request.framing, "round \(round)")
                #expect(again.authority == request.authority)
                #expect(again.minorVersion == 1 && again.keepAlive)
                #expect(again.upgrade == (request.upgrade == .webSocket ? .webSocket : .none))
                #expect(again.expectsContinue == request.expectsContinue)
                let path =
                    request.path != "" ? request.path : request.method == .options ? "*" : "/"
                #expect(again.path == path || again.path == "/")
            }
            guard let plain = PlainReading(forwarded) else {
                Issue.record("round \(round): another reader does not understand \(forwarded)")
                continue
            }
            #expect(plain.start.hasSuffix(" HTTP/1.1"))
            #expect(plain.start.split(separator: " ").count == 3)
            #expect(plain.values("host") == [request.authority])
            switch request.framing {
            case .length(let count):
                #expect(plain.values("content-length") == ["\(count)"])
                #expect(plain.values("transfer-encoding") == [])
            case .chunked:
                #expect(plain.values("content-length") == [])
                #expect(plain.values("transfer-encoding") == ["chunked"])
            case .none, .untilClose:
                #expect(plain.values("content-length") == [])
                #expect(plain.values("transfer-encoding") == [])
            }
            for name in ["te", "keep-alive", "proxy-connection", "http2-settings"] {
                #expect(plain.values(name) == [])
            }
        }
        // The damage is mild enough for the checks above to have had something to check.
        #expect(accepted > 2_000)
    }

    @Test("an accepted response has one meaning for the client too")
    func responsesKeepTheirMeaning() {
        let seeds = [
            "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            "HTTP/1.0 404 Not Found\r\nSet-Cookie: a\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nConnection: x\r\nX: y\r\n\r\n",
            "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n",
        ].map(latin)
        var random = SplitMix64(seed: 0x7269_7665_7402)
        var accepted = 0
        for round in 0..<20_000 {
            let bytes = mutate(seeds[round % seeds.count], &random)
            let method: Method = random.next() & 3 == 0 ? .head : .get
            let response = Response(bytes, to: method, upgradePassed: true)
            guard case .complete = response.outcome else { continue }
            accepted += 1
            guard let forwarded = response.forwarded else {
                Issue.record("round \(round): not written")
                continue
            }
            let again = Response(latin(forwarded), to: method, upgradePassed: true)
            #expect(again.outcome == .complete(length: latin(forwarded).count), "round \(round)")
            #expect(again.status == response.status && again.reason == response.reason)
            // A body that ends with the connection goes on in chunks.
            #expect(
                again.framing
                    == (response.framing == .untilClose ? .chunked : response.framing))
            #expect(again.upgradeAccepted == response.upgradeAccepted)
            #expect(PlainReading(forwarded) != nil, "round \(round)")
        }
        #expect(accepted > 2_000)
    }

    @Test("a damaged chunked body is read the same whole and byte by byte")
    func chunksKeepTheirMeaning() {
        var random = SplitMix64(seed: 0x7269_7665_7403)
        var ended = 0
        for round in 0..<20_000 {
            let seed = ChunkedDecoderTests.good[round % ChunkedDecoderTests.good.count].0
            let bytes = mutate(latin(seed), &random)
            let whole = Decoded([bytes])
            var single = Decoded(bytes.map { [$0] })
            if whole.rest != nil {
                ended += 1
                single.rest = single.rest.map { _ in whole.rest ?? [] }
            }
            if single != whole { Issue.record("round \(round): \(text(bytes))") }
        }
        #expect(ended > 2_000)
    }

    @Test("noise is refused or waited for, and never crashes")
    func noise() {
        var random = SplitMix64(seed: 0x7269_7665_7404)
        for _ in 0..<5_000 {
            let bytes = (0..<Int(random.next() % 80)).map { _ in
                UInt8(truncatingIfNeeded: random.next())
            }
            #expect(!Request(bytes).isComplete)
            #expect(Response(bytes).status == 0)
            _ = Decoded([bytes])
        }
    }
}
