"""ONNX graphs written as expressions: what stands around an exported network, in operators of ONNX alone.

    writer = Writer("frame")
    csi = writer.input("csi", FLOAT, ["batch", 2])
    model = writer.model({"power": (csi * csi).sum(1)})

A size is an integer tensor (1,), so that sizes can be computed with, and joined to shapes. Whole numbers among the
arguments become constants of the type that is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

FLOAT, DOUBLE, INT64, BOOL = ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.INT64, ir.DataType.BOOL
OPSET, IR_VERSION = 20, 10
# Of names of nodes: an exported network, by which its quantisation tells it from what stands around it.
NETWORK = "network/"
# Of names of nodes that fail where the rest of the name says what is allowed.
REFUSED = "refused: "
# Ends of a slice that is open.
LAST = np.iinfo(np.int64).max

Number = int | float


@dataclass(frozen=True, eq=False)
class Term:
    """A value of a graph that is being written."""

    writer: Writer
    value: ir.Value
    dtype: ir.DataType

    def op(self, name: str, *others: Term | Number, dtype: ir.DataType | None = None, **attributes: Any) -> Term:
        """An operator of this term and others, numbers taken as the type of this term."""
        terms = [other if isinstance(other, Term) else self.writer.constant(other, self.dtype) for other in others]
        return self.writer.op(name, self, *terms, dtype=dtype or self.dtype, **attributes)

    def __add__(self, other: Term | Number) -> Term:
        return self.op("Add", other)

    def __sub__(self, other: Term | Number) -> Term:
        return self.op("Sub", other)

    def __mul__(self, other: Term | Number) -> Term:
        return self.op("Mul", other)

    def __truediv__(self, other: Term | Number) -> Term:
        return self.op("Div", other)

    def __mod__(self, other: Term | Number) -> Term:
        return self.op("Mod", other)

    def __neg__(self) -> Term:
        return self.op("Neg")

    def __gt__(self, other: Term | Number) -> Term:
        return self.op("Greater", other, dtype=BOOL)

    def __ge__(self, other: Term | Number) -> Term:
        return self.op("GreaterOrEqual", other, dtype=BOOL)

    def __le__(self, other: Term | Number) -> Term:
        return self.op("LessOrEqual", other, dtype=BOOL)

    def __and__(self, other: Term) -> Term:
        return self.op("And", other)

    def __or__(self, other: Term) -> Term:
        return self.op("Or", other)

    def equals(self, other: Term | Number) -> Term:
        return self.op("Equal", other, dtype=BOOL)

    def rounded_up(self, step: int) -> Term:
        """How many steps a size takes."""
        return (self + (step - 1)) / step

    def cast(self, dtype: ir.DataType) -> Term:
        return self.op("Cast", dtype=dtype, to=dtype)

    def size(self, axis: int) -> Term:
        return self.op("Shape", dtype=INT64, start=axis, end=axis + 1)

    def reduced(self, how: str, *axes: int, keep: bool = True) -> Term:
        """ReduceSum, ReduceMean or ReduceMax over axes."""
        return self.writer.op(how, self, self.writer.shape(*axes), dtype=self.dtype, keepdims=int(keep))

    def reshape(self, *sizes: Term | int) -> Term:
        """0 keeps the size of the axis at this place, -1 takes what is left."""
        return self.writer.op("Reshape", self, self.writer.shape(*sizes), dtype=self.dtype)

    def flat(self) -> Term:
        """As (1,), of a scalar."""
        return self.reshape(1)

    def filled(self, *sizes: Term | int) -> Term:
        """As `reshape`, of sizes that may be 0."""
        return self.writer.op("Reshape", self, self.writer.shape(*sizes), dtype=self.dtype, allowzero=1)

    def transpose(self, *axes: int) -> Term:
        return self.op("Transpose", perm=axes)

    def cut(self, axis: int, start: Term | int = 0, end: Term | int = LAST) -> Term:
        shape = self.writer.shape
        return self.writer.op("Slice", self, shape(start), shape(end), shape(axis), dtype=self.dtype)

    def padded(self, before: Sequence[Term | int], after: Sequence[Term | int]) -> Term:
        """With zeros before and after along every axis; of a number below 0, without so many entries."""
        return self.writer.op("Pad", self, self.writer.shape(*before, *after), dtype=self.dtype)

    def take(self, at: Term, axis: int = 0) -> Term:
        return self.op("Gather", at, axis=axis)

    def largest(self, count: Term, axis: int) -> tuple[Term, Term]:
        """So many largest values along an axis, the largest first, and where they are."""
        return self.writer.op_of_two("TopK", self, count, dtypes=(self.dtype, INT64), axis=axis)

    def within(self, writer: Writer) -> Term:
        """The same value, for expressions that are written into the body of a loop or a branch of this graph."""
        return Term(writer, self.value, self.dtype)


class Writer:
    """A graph, or the body of a loop in one."""

    def __init__(self, name: str):
        """
        Args:
            name: of the graph, by which its names differ from those of others.
        """
        self._name = name
        self._nodes: list[ir.Node] = []
        self._inputs: list[ir.Value] = []
        self._weights: list[ir.Value] = []

    def input(
        self, name: str, dtype: ir.DataType, shape: Sequence[str | int] | ir.Shape | None, told: str | None = None
    ) -> Term:
        """An input of the graph, with free sizes by name."""
        shape = None if shape is None else ir.Shape(shape)
        value = ir.Value(name=name, shape=shape, type=ir.TensorType(dtype), doc_string=told)
        self._inputs.append(value)
        return Term(self, value, dtype)

    def op(
        self, operator: str, *inputs: Term | None, dtype: ir.DataType, name: str | None = None, **attributes
    ) -> Term:
        given = [None if term is None else term.value for term in inputs]
        (found,) = self._add(ir.node(operator, given, attributes=attributes), (dtype,), name)
        return found

    def op_of_two(
        self, operator: str, *inputs: Term, dtypes: tuple[ir.DataType, ir.DataType], **attributes
    ) -> tuple[Term, Term]:
        """As `op`, of an operator with two outputs."""
        node = ir.node(operator, [term.value for term in inputs], attributes=attributes, num_outputs=2)
        first, second = self._add(node, dtypes)
        return first, second

    def _add(self, node: ir.Node, dtypes: Sequence[ir.DataType], name: str | None = None) -> list[Term]:
        """Its outputs, of these types."""
        node.name = name or f"{self._name}/{node.op_type}_{len(self._nodes)}"
        found = []
        for index, (output, dtype) in enumerate(zip(node.outputs, dtypes, strict=True)):
            output.name, output.type = f"{self._name}/{len(self._nodes)}.{index}", ir.TensorType(dtype)
            found.append(Term(self, output, dtype))
        self._nodes.append(node)
        return found

    def constant(self, value: Any, dtype: ir.DataType = FLOAT) -> Term:
        return self.op("Constant", dtype=dtype, value=ir.tensor(np.asarray(value, dtype.numpy())))

    def shape(self, *sizes: Term | int) -> Term:
        """Sizes, one after the other."""
        if all(isinstance(size, int) for size in sizes):
            return self.constant(sizes, INT64)
        terms = [size if isinstance(size, Term) else self.constant([size], INT64) for size in sizes]
        return terms[0] if len(terms) == 1 else self.joined(0, *terms)

    def joined(self, axis: int, *terms: Term) -> Term:
        return self.op("Concat", *terms, dtype=terms[0].dtype, axis=axis)

    def where(self, condition: Term, then: Term | Number, otherwise: Term | Number) -> Term:
        dtype = next(term.dtype for term in (then, otherwise) if isinstance(term, Term))
        chosen = [term if isinstance(term, Term) else self.constant(term, dtype) for term in (then, otherwise)]
        return self.op("Where", condition, *chosen, dtype=dtype)

    def range(self, size: Term) -> Term:
        """0, 1, ... up to a size."""
        one = [self.constant(number, INT64) for number in (0, 1)]
        scalar = self.op("Squeeze", size, dtype=INT64)
        return self.op("Range", one[0], scalar, one[1], dtype=INT64)

    def zeros(self, *sizes: Term | int) -> Term:
        value = ir.tensor(np.zeros(1, np.float32))
        return self.op("ConstantOfShape", self.shape(*sizes), dtype=FLOAT, value=value)

    def refuse_unless(self, condition: Term, allowed: str) -> Term:
        """0 as (1,), where a condition (1,) holds; otherwise its node fails, whose name says what is allowed.

        ONNX has no operator that refuses. This one takes an element of a list that is not there.
        """
        index = self.op("Not", condition, dtype=BOOL).cast(INT64)
        return self.op("Gather", self.constant([0], INT64), index, dtype=INT64, name=REFUSED + allowed)

    def network(self, model: ir.Model, **inputs: Term) -> Term:
        """The output of an exported network, of which this graph gets a copy."""
        graph = model.clone().graph
        for value in graph.inputs:
            ir.convenience.replace_all_uses_with(value, inputs[value.name or ""].value)
        self._weights += graph.initializers.values()
        graph.initializers.clear()
        output, nodes = graph.outputs[0], list(graph)
        graph.outputs.clear()
        graph.remove(nodes)
        output.name = NETWORK + "output"
        self._nodes += nodes
        return Term(self, output, FLOAT)

    def loop(
        self, turns: Term, state: Sequence[Term], step: Callable[..., tuple[Sequence[Term], Sequence[Term]]]
    ) -> tuple[list[Term], list[Term]]:
        """A loop: the state after its last turn, and what its turns have found, along a new axis in front.

        Args:
            turns: how many, (1,).
            state: terms, of the first turn.
            step: from a writer of the body, the number of the turn, (), and the terms of the state to those of the next
                state, of the same shapes, and terms that are found.
        """
        body = self._inner("turn")
        turn = body.input(f"{body._name}/number", INT64, [])
        goes_on = body.input(f"{body._name}/goes_on", BOOL, [])
        before = [
            body.input(f"{body._name}/state_{index}", term.dtype, term.value.shape) for index, term in enumerate(state)
        ]
        after, found = step(body, turn, *before)
        # Copies: an output of a body may be no input of it, nor a value from outside.
        outputs = [body.op("Identity", goes_on, dtype=BOOL)]
        outputs += [term.within(body).op("Identity") for term in (*after, *found)]
        graph = body._graph({f"{body._name}/out_{index}": term for index, term in enumerate(outputs)})
        inputs = [self.op("Squeeze", turns, dtype=INT64), self.constant(True, BOOL), *state]
        node = ir.node("Loop", [term.value for term in inputs], {"body": graph}, num_outputs=len(outputs) - 1)
        results = self._add(node, [term.dtype for term in outputs[1:]])
        return results[: len(state)], results[len(state) :]

    def branch(
        self,
        condition: Term,
        then: Callable[[Writer], Sequence[Term]],
        otherwise: Callable[[Writer], Sequence[Term]],
    ) -> list[Term]:
        """What one of two graphs gives, of which only that one is computed.

        Args:
            condition: (1,).
            then, otherwise: from a writer of the branch to as many terms of the same types.
        """
        graphs, dtypes = {}, []
        for name, write in (("then_branch", then), ("else_branch", otherwise)):
            body = self._inner(name)
            outputs = [term.within(body).op("Identity") for term in write(body)]
            graphs[name] = body._graph({f"{body._name}/out_{index}": term for index, term in enumerate(outputs)})
            dtypes = [term.dtype for term in outputs]
        return self._add(ir.node("If", [condition.value], graphs, num_outputs=len(dtypes)), dtypes)

    def _inner(self, name: str) -> Writer:
        return Writer(f"{self._name}/{len(self._nodes)}_{name}")

    def model(self, outputs: Mapping[str, Term], **metadata: str) -> ir.Model:
        """The graph as a model."""
        model = ir.Model(self._graph(outputs), ir_version=IR_VERSION, producer_name="wavefoundry")
        model.metadata_props.update(metadata)
        return model

    def _graph(self, outputs: Mapping[str, Term]) -> ir.Graph:
        for name, term in outputs.items():
            term.value.name, term.value.type = name, ir.TensorType(term.dtype)
        return ir.Graph(
            self._inputs,
            [term.value for term in outputs.values()],
            nodes=self._nodes,
            initializers=self._weights,
            opset_imports={"": OPSET},
            name=self._name,
        )
