// A reply read as it comes: the same however it is cut, and bounded whatever it is.

import Balance
import Base
import Proxy
import Testing

@Suite struct ReplyReaderTests {
    private static let chunked =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n"
        + "5\r\nhello\r\n1;x=\"y\"\r\n!\r\n0\r\nT: t\r\n\r\n"
    private static let plain = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 6\r\n\r\nhello!"
    private static let open = "HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello!"

    private func read(
        _ bytes: [UInt8], piece: Int, _ reader: ReplyReader = ReplyReader(.http, limit: 65_536),
        closes: Bool = true
    ) -> (ReplyReader, ReplyReader.Progress) {
        var at = 0
        while at < bytes.count {
            let end = min(at + piece, bytes.count)
            let progress = reader.take(bytes.span.extracting(at..<end))
            if progress != .more { return (reader, progress) }
            at = end
        }
        return (reader, closes ? reader.end() : .more)
    }

    @Test(arguments: [chunked, plain, open])
    func aReplyIsTheSameInPiecesOfAnySize(_ text: String) {
        let bytes = Array(text.utf8)
        for piece in 1...bytes.count {
            let (reader, progress) = read(bytes, piece: piece)
            #expect(progress == .done)
            #expect(reader.status == 200)
            #expect(reader.body == Array("hello!".utf8))
            #expect(reader.headers.contains { $0 == ("a", "b") })
        }
    }

    @Test(arguments: [chunked, plain])
    func aReplyCutAnywhereIsNeverTakenForTheWhole(_ text: String) {
        let bytes = Array(text.utf8)
        for count in 0..<bytes.count {
            let (_, progress) = read(Array(bytes.prefix(count)), piece: 1000)
            guard case .broken = progress else {
                Issue.record("\(count) bytes of \(bytes.count) were enough")
                return
            }
        }
    }

    @Test func aReplyWithoutABodyIsOverWithItsHead() {
        for text in [
            "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ] {
            let (reader, progress) = read(Array(text.utf8), piece: 7, closes: false)
            #expect(progress == .done && reader.body.isEmpty)
        }
        let head = ReplyReader(.http, method: "HEAD", limit: 65_536)
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
        #expect(read(Array(text.utf8), piece: 7, head, closes: false).1 == .done)
    }

    @Test func wordsAreFoundAcrossPiecesAndOnlyWhenTheyAreWhole() {
        let words = { ReplyReader(.tcp, limit: 65_536, until: Array("aab".utf8)) }
        for piece in 1...6 {
            let (reader, progress) = read(
                Array("aaabzz".utf8), piece: piece, words(), closes: false)
            #expect(progress == .done)
            #expect(reader.body.starts(with: Array("aaab".utf8)))
            #expect(
                read(Array("aabaaa".utf8.dropFirst(2)), piece: piece, words(), closes: false).1
                    == .more)
        }
    }

    @Test func whateverComesIsBoundedAndHasAnEnd() {
        var random = SplitMix64(seed: 42)
        let models = [Self.chunked, Self.plain, Self.open].map { Array($0.utf8) }
        for _ in 0..<5000 {
            var bytes = models.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: at)
                default:
                    let run = bytes[at..<min(at + 20, bytes.count)]
                    bytes.insert(contentsOf: run, at: at)
                }
                if bytes.isEmpty { break }
            }
            let piece = Int.random(in: 1...50, using: &random)
            let (reader, progress) = read(bytes, piece: piece, ReplyReader(.http, limit: 64))
            #expect(progress != .more)
            #expect(reader.body.count <= 64)
        }
    }
}
