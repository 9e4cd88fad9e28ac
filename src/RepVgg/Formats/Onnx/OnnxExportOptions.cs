namespace RepVgg.Formats.Onnx;

/// <summary>Number format of the weights and the arithmetic of an ONNX file.</summary>
public enum OnnxPrecision
{
    /// <summary>32-bit floats.</summary>
    Single,

    /// <summary>16-bit floats; input, normalisation and output stay 32-bit floats.</summary>
    Half,
}

/// <summary>How <see cref="OnnxWriter"/> writes.</summary>
public sealed record OnnxExportOptions
{
    /// <summary>Name of the input: raw pixels, float [N, C, H, W].</summary>
    public string InputName { get; init; } = "input";

    /// <summary>Name of the output: float [N, classes]; of networks that give features [N, channels] or [N, channels, height, width].</summary>
    public string OutputName { get; init; } = "logits";

    /// <summary>The batch size that the file fixes; null lets the runtime choose.</summary>
    public int? BatchSize { get; init; }

    /// <summary>Whether the output has no dimension for the batch, as ML.NET's vectors have none; needs a <see cref="BatchSize"/> of 1.</summary>
    public bool OmitOutputBatch { get; init; }

    /// <summary>Whether the output is the softmax of the logits.</summary>
    public bool Softmax { get; init; }

    /// <summary>Version of ONNX's operator set: 9 to 21.</summary>
    public int OpsetVersion { get; init; } = 17;

    /// <summary>Number format of the weights.</summary>
    public OnnxPrecision Precision { get; init; }

    /// <summary>Name of every class in the order of the logits, kept in the file's properties; null where they are not known.</summary>
    public IReadOnlyList<string>? ClassLabels { get; init; }
}
