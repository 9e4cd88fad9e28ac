namespace RepVgg.Weights.Onnx;

/// <summary>Options for writing a <see cref="Networks.SegmentationNetwork"/> as ONNX.</summary>
public sealed record SegmentationExportOptions
{
    /// <summary>Name of the input: raw pixels, float [N, C, H, W].</summary>
    public string InputName { get; init; } = "input";

    /// <summary>Name of the output with the class of every pixel: bytes [N, H, W].</summary>
    public string MaskName { get; init; } = "mask";

    /// <summary>Name of a second output with the logits of every pixel, float [N, classes, H, W]; null for none.</summary>
    public string? LogitsName { get; init; }

    /// <summary>Whether the second output has the probabilities of the classes, the softmax of the logits. Requires <see cref="LogitsName"/> and an <see cref="OpsetVersion"/> of 13 or later.</summary>
    public bool Softmax { get; init; }

    /// <summary>The fixed batch size; null for a dynamic batch size.</summary>
    public int? BatchSize { get; init; }

    /// <summary>Whether the outputs have no batch dimension, like ML.NET's vector columns. Requires a <see cref="BatchSize"/> of 1.</summary>
    public bool OmitOutputBatch { get; init; }

    /// <summary>Version of the ONNX operator set, 11 to 21.</summary>
    public int OpsetVersion { get; init; } = 17;

    /// <summary>Names of the classes in the order of the logits, stored in the metadata of the file; null if they are unknown.</summary>
    public IReadOnlyList<string>? ClassLabels { get; init; }

    /// <summary>For a graph that is part of a chain of transformers: the nodes in front of the network.</summary>
    internal OnnxChainDetails Chain { get; init; } = new();
}
