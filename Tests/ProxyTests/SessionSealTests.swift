// The value of a session cookie: only what this pool sealed, whole and in time, is ever believed.

import Base
import Testing

@testable import Proxy

@Suite("Values of session cookies")
struct SessionSealTests {
    private static let now: UInt32 = 1_800_000_000
    private static let secret = Array("a secret of some bytes".utf8)

    private func seal(
        _ secrets: [[UInt8]] = [secret], pool: String = "octopus", cookie: String = "S"
    ) -> SessionSeal {
        SessionSeal(secrets: secrets, pool: pool, cookie: cookie)
    }

    private func content(node: UInt64? = nil, carried: [UInt8] = []) -> SessionContent {
        SessionContent(node: node, carried: Carried(carried.span), expiry: Self.now + 100)
    }

    private func text(_ value: SessionValue) -> [UInt8] { (0..<value.count).map { value.text[$0] } }

    private func text(
        _ seal: SessionSeal, _ content: SessionContent, nonce: UInt64 = 0x0102_0304_0506_0708
    ) -> [UInt8] { text(seal.seal(content, nonce: nonce)) }

    private func opened(
        _ seal: SessionSeal, _ text: [UInt8], now: UInt32 = now
    ) -> OpenedSession? { seal.open(text.span, now: now) }

    private func opens(_ seal: SessionSeal, _ text: [UInt8], now: UInt32 = now) -> Bool {
        opened(seal, text, now: now) != nil
    }

    /// Every kind of content that there is.
    private var contents: [SessionContent] {
        var all = [content(node: 0), content(node: .max), content(node: 0x0123_4567_89AB_CDEF)]
        for length in [1, 24, 25, 32, 33, 63, 64] {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: 255 &- $0) }
            all.append(content(carried: bytes))
            all.append(content(node: 7, carried: bytes))
        }
        return all
    }

    @Test("what was sealed comes back, and fits in a cookie as it is")
    func comesBack() throws {
        let seal = seal()
        for content in contents {
            let text = text(seal, content)
            #expect(
                text.allSatisfy {
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8
                        .contains($0)
                })
            let opened = try #require(self.opened(seal, text))
            #expect(opened.content.node == content.node)
            #expect(opened.content.expiry == content.expiry)
            #expect(opened.isOld == false)
            let isSame = opened.content.carried.isSame(
                as: content.carried.bytes.span.extracting(0..<content.carried.count))
            #expect(isSame)
        }
    }

    @Test("no single bit of a value can be changed")
    func flippedBits() {
        let seal = seal()
        for content in contents {
            let good = text(seal, content)
            for bit in 0..<good.count * 8 {
                var bad = good
                bad[bit / 8] ^= 1 << (bit % 8)
                #expect(!opens(seal, bad))
            }
            // The same of the bytes behind the text: their last bits have no spelling of their own.
            for bit in 0..<good.count * 6 {
                guard let bad = flipped(good, bit: bit) else { continue }
                #expect(!opens(seal, bad))
            }
        }
    }

    /// `text` with one bit of what it says changed; nil if it has no such bit.
    private func flipped(_ text: [UInt8], bit: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 102)
        var room = bytes.mutableSpan
        guard let count = Base64URL.decode(text.span, into: &room), bit < count * 8 else {
            return nil
        }
        bytes[bit / 8] ^= 1 << (bit % 8)
        var out = [UInt8](repeating: 0, count: 136)
        var target = out.mutableSpan
        let length = Base64URL.encode(bytes.span.extracting(0..<count), into: &target)
        return Array(out[..<length])
    }

    @Test("damage of any kind is refused")
    func damaged() {
        let seal = seal()
        var random = SplitMix64(seed: 2026)
        let all = contents.map { text(seal, $0) }
        for _ in 0..<20_000 {
            let good = all[Int(random.next() % UInt64(all.count))]
            var bad = good
            switch random.next() % 5 {
            case 0: bad.removeLast(1 + Int(random.next() % UInt64(bad.count)))
            case 1: bad.removeFirst(1 + Int(random.next() % UInt64(bad.count)))
            case 2: bad += all[Int(random.next() % UInt64(all.count))]
            case 3:
                let other = all[Int(random.next() % UInt64(all.count))]
                let cut = Int(random.next() % UInt64(min(bad.count, other.count)))
                bad = Array(bad[..<cut] + other[cut...])
            default: bad[Int(random.next() % UInt64(bad.count))] = UInt8(random.next() & 0xFF)
            }
            #expect(opens(seal, bad) == all.contains(bad))
        }
        #expect(!opens(seal, []))
        #expect(!opens(seal, Array(repeating: UInt8(ascii: "A"), count: 10_000)))
    }

    @Test("a value of another pool, another cookie or another secret is worth nothing")
    func foreign() {
        let value = text(seal(), content(node: 7))
        #expect(opens(seal(), value))
        #expect(!opens(seal(pool: "octopus2"), value))
        #expect(!opens(seal(pool: "octopusS", cookie: ""), value))
        #expect(!opens(seal(cookie: "s"), value))
        #expect(!opens(seal([Array("a secret of some byteS".utf8)]), value))
        #expect(!opens(seal([Array("x".utf8), Array("y".utf8)]), value))
    }

    @Test("a value ends when it says so")
    func expired() {
        let value = text(seal(), content(node: 7))
        #expect(opens(seal(), value, now: Self.now + 99))
        #expect(!opens(seal(), value, now: Self.now + 100))
        #expect(!opens(seal(), value, now: .max))
    }

    @Test("secrets can be changed, one after another, and no client notices")
    func rotation() throws {
        let (old, new) = (Array("old old old old!".utf8), Array("new new new new!".utf8))
        let value = text(seal([old]), content(node: 7, carried: [1, 2, 3]))
        let both = seal([new, old])
        let opened = try #require(self.opened(both, value))
        #expect(opened.isOld && opened.content.node == 7)
        let renewed = text(both, opened.content)
        #expect(renewed != value)
        #expect(self.opened(both, renewed)?.isOld == false)
        #expect(opens(seal([new]), renewed) && !opens(seal([old]), renewed))
        #expect(!opens(seal([new]), value))
    }

    @Test("a value does not say which node it names, nor that two clients have the same")
    func masked() {
        let seal = seal()
        let node: UInt64 = 0x4142_4344_4546_4748
        let carried = Array("zone=north-west".utf8)
        var values: Set<[UInt8]> = []
        var starts: Set<[UInt8]> = []
        for nonce in 0..<1000 {
            let value = text(seal, content(node: node, carried: carried), nonce: UInt64(nonce))
            values.insert(value)
            var bytes = [UInt8](repeating: 0, count: 102)
            var room = bytes.mutableSpan
            let count = Base64URL.decode(value.span, into: &room) ?? 0
            let payload = Array(bytes[14..<count - 16])
            #expect(payload.count == 8 + carried.count)
            starts.insert(Array(payload[..<8]))
            #expect(payload[..<8] != Array("ABCDEFGH".utf8)[...])
            #expect(payload[8...] != carried[...])
        }
        #expect(values.count == 1000 && starts.count == 1000)
    }
}
