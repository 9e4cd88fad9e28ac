namespace RepVgg.Weights.Onnx;

/// <summary>The node that cuts the network's input out of a larger image, in front of a network.</summary>
/// <param name="InputHeight">Height of the graph's input in pixels.</param>
/// <param name="InputWidth">Width of the graph's input in pixels.</param>
/// <param name="Top">First row that is kept.</param>
/// <param name="Left">First column that is kept.</param>
/// <param name="Height">Height of the network's input in pixels.</param>
/// <param name="Width">Width of the network's input in pixels.</param>
internal sealed record OnnxCrop(int InputHeight, int InputWidth, int Top, int Left, int Height, int Width)
{
    /// <summary>The oldest operator set whose Slice reads its limits from inputs.</summary>
    public const int OldestOpset = 10;

    /// <summary>Whether the part that is kept is inside the graph's input.</summary>
    public bool IsValid =>
        Height > 0 && Width > 0 && Top >= 0 && Left >= 0 && (long)Top + Height <= InputHeight && (long)Left + Width <= InputWidth;

    /// <summary>Adds the node.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="input">Name of the image, [N, C, InputHeight, InputWidth].</param>
    /// <returns>Name of the result, [N, C, Height, Width].</returns>
    public string Write(OnnxGraphBuilder graph, string input) => graph.Node(
        "Slice",
        "crop/slice",
        [input, graph.Integers("crop.starts", [Top, Left]), graph.Integers("crop.ends", [Top + Height, Left + Width]), graph.Integers("crop.axes", [2, 3])]);

    /// <summary>Recognises the node that <see cref="Write"/> adds.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="node">The node.</param>
    /// <returns>Name of the input.</returns>
    /// <exception cref="InvalidDataException">It is another node.</exception>
    public string Skip(OnnxGraph graph, OnnxNode node)
    {
        if (node.Inputs.Count != 4 || !Holds(1, Top, Left) || !Holds(2, Top + Height, Left + Width) || !Holds(3, 2, 3))
            throw new InvalidDataException("its Slice is not the crop that its description states");
        return graph.InputOf(node);

        bool Holds(int index, params long[] values) => graph.Integers(graph.InputOf(node, index)) is { } given && given.AsSpan().SequenceEqual(values);
    }
}
