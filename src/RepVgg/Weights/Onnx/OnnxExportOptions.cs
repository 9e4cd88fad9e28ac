namespace RepVgg.Weights.Onnx;

/// <summary>Number format of the weights and the arithmetic of an ONNX file.</summary>
public enum OnnxPrecision
{
    /// <summary>32-bit floats.</summary>
    Single,

    /// <summary>16-bit floats; input, normalisation and output stay 32-bit floats.</summary>
    Half,
}

/// <summary>Options of <see cref="OnnxWriter"/>.</summary>
public sealed record OnnxExportOptions
{
    /// <summary>Name of the input: raw pixels, float [N, C, H, W].</summary>
    public string InputName { get; init; } = "input";

    /// <summary>Name of the output: float [N, classes], or for networks whose output is features, [N, channels] or [N, channels, height, width].</summary>
    public string OutputName { get; init; } = "logits";

    /// <summary>The fixed batch size; null for a dynamic batch size.</summary>
    public int? BatchSize { get; init; }

    /// <summary>Whether the output has no batch dimension, like ML.NET's vector columns. Requires a <see cref="BatchSize"/> of 1.</summary>
    public bool OmitOutputBatch { get; init; }

    /// <summary>Whether the output is the softmax of the logits.</summary>
    public bool Softmax { get; init; }

    /// <summary>
    /// Whether the file has a second output, <c>activation_map</c>: the class activation maps of all classes, float [N, classes, height, width],
    /// or [classes, height, width] with <see cref="OmitOutputBatch"/>. The mean of the map of a class plus the class's bias
    /// is its logit. Requires logits. (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016.)
    /// </summary>
    public bool ActivationMap { get; init; }

    /// <summary>Version of the ONNX operator set, 9 to 21.</summary>
    public int OpsetVersion { get; init; } = 17;

    /// <summary>Number format of the weights.</summary>
    public OnnxPrecision Precision { get; init; }

    /// <summary>Names of the classes in the order of the logits, stored in the metadata of the file; null if they are unknown.</summary>
    public IReadOnlyList<string>? ClassLabels { get; init; }

    /// <summary>For a graph that is part of a chain of transformers: the nodes in front of the network, and the scale that was applied to the network's last layer.</summary>
    internal OnnxChainDetails Chain { get; init; } = new();
}
