using System.Collections.Immutable;

namespace RepVgg.Weights.Onnx;

/// <summary>The nodes that put transparent images on a background, in front of a network.</summary>
/// <remarks>
/// The input has the planes alpha, then red, green and blue, or grey, of values 0..255; the colours are premultiplied with alpha. A colour c with alpha a on
/// a background b becomes min(c + round(b * (255 - a) / 255), 255). An image whose alpha is 0 everywhere counts as opaque. For integers, all
/// steps are exact in 32-bit floats, except the division, whose result is never near a number that Floor would round the other way.
/// </remarks>
internal static class OnnxComposition
{
    /// <summary>Adds the nodes.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="input">Name of the input, float [N, 1 + C, H, W].</param>
    /// <param name="background">The values of the background, one for each of the C colours.</param>
    /// <returns>Name of the result, float [N, C, H, W].</returns>
    public static string Write(OnnxGraphBuilder graph, string input, ImmutableArray<byte> background)
    {
        string one = Scalar("one", 1), half = Scalar("half", 0.5f), most = Scalar("255", 255);
        string colour = graph.Constant("compose.background", [1, background.Length, 1, 1], [.. background.Select(value => (float)value)], OnnxPrecision.Single);

        string alpha = Node("Gather", "alpha", [input, graph.Integers("compose.alpha_index", [0])], ("axis", 1));
        string colours = Node("Gather", "colours", [input, graph.Integers("compose.colour_indices", [.. Enumerable.Range(1, background.Length)])], ("axis", 1));
        // 0 for an image whose alpha is 0 everywhere, otherwise 1.
        string usesAlpha = Node("Min", "uses_alpha", [Node("GlobalMaxPool", "largest_alpha", [alpha]), one]);
        string transparency = Node("Mul", "transparency", [Node("Sub", "complement", [most, alpha]), usesAlpha]);
        string part = Node("Div", "part", [Node("Mul", "product", [transparency, colour]), most]);
        string rounded = Node("Floor", "rounded", [Node("Add", "shifted", [part, half])]);
        return Node("Min", "limited", [Node("Add", "sum", [colours, rounded]), most]);

        string Scalar(string name, float value) => graph.Constant($"compose.{name}", [], [value], OnnxPrecision.Single);

        string Node(string operation, string name, string[] inputs, params (string Name, object Value)[] attributes) => graph.Node(operation, $"compose/{name}", inputs, attributes);
    }

    /// <summary>Recognises the nodes that <see cref="Write"/> adds.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="value">Name of the result.</param>
    /// <param name="background">The values of the background.</param>
    /// <returns>Name of the input.</returns>
    /// <exception cref="InvalidDataException">The value is not computed by these nodes.</exception>
    public static string Skip(OnnxGraph graph, string value, ImmutableArray<byte> background)
    {
        var limited = Producer(value, "Min");
        var sum = Producer(graph.InputOf(limited), "Add");
        var shifted = Producer(graph.InputOf(Producer(graph.InputOf(sum, 1), "Floor")), "Add");
        var part = Producer(graph.InputOf(shifted), "Div");
        var product = Producer(graph.InputOf(part), "Mul");
        var transparency = Producer(graph.InputOf(product), "Mul");
        var complement = Producer(graph.InputOf(transparency), "Sub");
        var usesAlpha = Producer(graph.InputOf(transparency, 1), "Min");
        string alpha = graph.InputOf(complement, 1);
        Check(Holds(limited, 1, 255) && Holds(shifted, 1, 0.5f) && Holds(part, 1, 255) && Holds(complement, 0, 255) && Holds(usesAlpha, 1, 1));
        Check(Holds(product, 1, [.. background.Select(colour => (float)colour)]));
        Check(graph.InputOf(Producer(graph.InputOf(usesAlpha), "GlobalMaxPool")) == alpha);

        string input = Gathered(alpha, [0]);
        Check(Gathered(graph.InputOf(sum), [.. Enumerable.Range(1, background.Length).Select(index => (long)index)]) == input);
        return input;

        OnnxNode Producer(string name, string operation) => graph.Producer(name, operation);

        bool Holds(OnnxNode node, int index, params float[] values) => graph.ConstantOf(node, index) is { } constant && constant.Length == values.Length && constant.Read().AsSpan().SequenceEqual(values);

        string Gathered(string name, long[] indices)
        {
            var node = Producer(name, "Gather");
            Check(node.Integer("axis", 0) == 1 && graph.Integers(graph.InputOf(node, 1)) is { } given && given.AsSpan().SequenceEqual(indices));
            return graph.InputOf(node);
        }

        static void Check(bool condition)
        {
            if (!condition)
                throw new InvalidDataException("the operations before its first convolution are not the composition with a background that its description states");
        }
    }
}
