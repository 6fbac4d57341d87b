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

    /// A request that is to come by https: told so, with the place that it asked for (RFC 9110 sections
    /// 15.4.2 and 15.4.9).
    mutating func redirect(_ index: UInt32, _ headLength: Int, _ port: UInt16) {
        let client = clients.at(index)
        let head = requestHead(of: client)
        guard !head.it.authority.isEmpty else {
            refuse(
                index, headLength, 400,
                "the request names no host that it could be sent to by https")
            return
        }
        let stays = head.it.keepAlive && !head.it.framing.hasBody && !isLeaving(client)
        let status: UInt16 = head.it.method == .get || head.it.method == .head ? 301 : 308
        let bytes = client.it.link.input.bytes
        dateLine.set(second: UInt64(wallSeconds()))
        kit.scratch.clear()
        let fits = kit.scratch.write {
            CannedResponse.writeRedirect(
                status: status, host: bytes.extracting(head.it.authority.indices), port: port,
                target: bytes.extracting(head.it.origin.indices), close: !stays,
                date: dateLine.span, to: &$0)
        }
        guard fits else {
            refuse(index, headLength, 414, "the request's target is too long to be sent elsewhere")
            return
        }
        noteRefusal(client, head.it.methodRange, head.it.target, status, "sent to https")
        client.it.link.input.consume(headLength)
        goOn(index, stays: stays)
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
