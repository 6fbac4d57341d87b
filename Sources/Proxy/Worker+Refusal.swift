// Requests that no exchange is made for: they are answered here, and have their line in the log like any
// other, with as much of what they asked for as can be told.

import Base
import HTTP
import Net

extension Worker {
    /// A request whose head was parsed: answered, and its body, if any, not read.
    mutating func refuse(
        _ index: UInt32, _ headLength: Int, _ status: UInt16, _ sentence: StaticString
    ) {
        let client = clients.at(index)
        let head = requestHead(of: client)
        let stays = head.it.keepAlive && !head.it.framing.hasBody && !isLeaving(client)
        noteRefusal(client, head.it.methodRange, head.it.target, status, sentence)
        client.it.link.input.consume(headLength)
        reject(index, status, sentence, stays: stays, asHead: head.it.method == .head)
    }

    /// A request whose head cannot be read, or did not come whole.
    mutating func refuseUnread(_ index: UInt32, _ status: UInt16, _ sentence: StaticString) {
        let client = clients.at(index)
        let (method, target) = Self.words(client.it.link.input.bytes)
        noteRefusal(client, method, target, status, sentence)
        let bytes = client.it.link.input.bytes
        // Its answer has no body then (RFC 9110 section 9.3.2).
        let asHead = HTTP.Method(bytes.extracting(method.indices)) == .head
        reject(index, status, sentence, stays: false, asHead: asHead)
    }

    /// The first two words of what may be a request line. Empty: there is no such word.
    private static func words(_ bytes: Span<UInt8>) -> (method: ByteRange, target: ByteRange) {
        var end = 0
        while end < bytes.count, bytes[end] > UInt8(ascii: " ") { end += 1 }
        guard end > 0, end < bytes.count, bytes[end] == UInt8(ascii: " ") else {
            return (.empty, .empty)
        }
        let method = ByteRange(0, end)
        let start = end + 1
        end = start
        while end < bytes.count, bytes[end] > UInt8(ascii: " ") { end += 1 }
        return (method, ByteRange(start, end))
    }

    private mutating func noteRefusal(
        _ client: Ref<Client>, _ method: ByteRange, _ target: ByteRange, _ status: UInt16,
        _ sentence: StaticString
    ) {
        guard log.isOn else { return }
        let bytes = client.it.link.input.bytes
        let nothing: [1 of UInt8] = [UInt8(ascii: "-")]
        let note = log.note(
            method: method.isEmpty ? nothing.span : bytes.extracting(method.indices),
            target: target.isEmpty ? nothing.span : bytes.extracting(target.indices))
        log.note(note, reason: sentence)
        log.write(note, LogLine(client: client.it.address, status: status))
    }
}
