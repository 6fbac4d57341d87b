// Sessions as a pool sees them: nodes by id, and what a pick gives a client to carry.

import Base
import CTrivet
import Testing

@testable import Balance

@Suite("What sessions need of a pool")
struct PoolViewFindTests {
    private func pool(ids: [UInt64]) -> PoolSpec {
        PoolSpec(
            name: "pool",
            nodes: ids.enumerated().map { index, id in
                NodeSpec(id: id, name: "n\(index)", address: "10.0.0.1:\(index + 1)")
            })
    }

    private func find(_ id: UInt64, in ground: Ground) -> UInt32 {
        PoolView(at: ground.place(), strategies: []).find(id: id)
    }

    @Test("a session finds its node by id, whatever ids there are")
    func find() throws {
        // The same low bits, zero, and neighbours.
        for ids in [
            [7], [0, 1, 2, 3], [0x1_0000_0000, 0x2_0000_0000, 0x3_0000_0000, 0],
            (0..<1000).map { Node.id($0) },
        ] as [[UInt64]] {
            let ground = try Ground([pool(ids: ids)])
            for (index, id) in ids.enumerated() {
                if index % 50 == 0 || ids.count < 10 { #expect(find(id, in: ground) == index) }
            }
            #expect(find(0xFFFF_0000_0000_0000, in: ground) == PickFacts.noNode)
            #expect(PoolView(at: ground.place(), strategies: []).id(of: 0) == ids[0])
            #expect(PoolView(at: ground.place(), strategies: []).id(of: .max) == 0)
        }
    }

    private enum Node {
        static func id(_ index: Int) -> UInt64 { hash64("pool\0node\(index)") }
    }

    /// What the last pick would have its client carry.
    private func carried(_ scripts: Script...) throws -> (bytes: [UInt8], bad: [UInt64]) {
        let ground = try Ground(tiers: [0, 0])
        var instances: [StrategyInstance] = []
        for (slot, script) in scripts.enumerated() {
            instances.append(
                try script.kind().make(at: ground.place(), slot: slot, options: "{}"))
        }
        let view = PoolView(at: ground.place(), strategies: instances)
        let none: [UInt32] = []
        let facts = PickFacts(
            method: Span(), target: Span(), authority: Span(), client: Span(), bytes: Span(),
            fields: Span(), tried: none.span)
        _ = view.pick(facts)
        var carried: [UInt8] = []
        view.withLastSession { span in carried = span.indices.map { span[$0] } }
        return (carried, scripts.indices.map { view.badAnswers($0) })
    }

    private func carrier(_ length: Int, _ byte: UInt8, picks: Bool) -> Script {
        let bytes = UnsafeMutablePointer<CChar>.allocate(capacity: max(length, 1))
        unsafe bytes.initialize(repeating: CChar(bitPattern: byte), count: max(length, 1))
        let script = Script()
        unsafe script.pick = { _, _, answer in
            unsafe answer.pointee.session = trivet_str(data: bytes, len: length)
            unsafe answer.pointee.node = 0
            return picks ? TRIVET_PICKED : TRIVET_PASS
        }
        return script
    }

    @Test("what a strategy has a client carry is kept, also with a pass, and the first one counts")
    func carried() throws {
        #expect(try carried(carrier(3, 7, picks: true)).bytes == [7, 7, 7])
        #expect(try carried(carrier(64, 7, picks: false)).bytes.count == 64)
        #expect(
            try carried(carrier(0, 7, picks: false), carrier(2, 8, picks: false)).bytes == [8, 8])
        #expect(
            try carried(carrier(1, 7, picks: false), carrier(2, 8, picks: true)).bytes == [7])
        #expect(
            try carried(carrier(1, 7, picks: true), carrier(2, 8, picks: true)).bytes == [7])
        #expect(try carried(Script()).bytes == [])
    }

    @Test("more than can be carried is counted as a bad answer, and nobody carries half of it")
    func tooMuch() throws {
        let found = try carried(carrier(65, 7, picks: true))
        #expect(found.bytes == [])
        #expect(found.bad == [1])
    }
}
