namespace RepVgg.Architectures;

/// <summary>The shape of one RepVGG block.</summary>
/// <param name="Name">Prefix of its weights' names, e.g. <c>stage1.0</c>.</param>
/// <param name="InputChannels">Input channels.</param>
/// <param name="OutputChannels">Output channels.</param>
/// <param name="Stride">1 or 2.</param>
/// <param name="Groups">Groups of its convolutions.</param>
/// <param name="SqueezeExcitation">Where its squeeze-and-excitation stands, if anywhere.</param>
public sealed record BlockSpec(string Name, int InputChannels, int OutputChannels, int Stride, int Groups, SqueezeExcitation SqueezeExcitation)
{
    /// <summary>Whether the block has the identity branch: same shape in and out.</summary>
    public bool HasIdentity => InputChannels == OutputChannels && Stride == 1;

    /// <summary>Prefix of the names of its squeeze-and-excitation's weights; null without.</summary>
    public string? SqueezeExcitationName => SqueezeExcitation switch
    {
        SqueezeExcitation.BeforeRelu => $"{Name}.se",
        SqueezeExcitation.AfterRelu => $"{Name}.post_se",
        _ => null,
    };

    /// <summary>Reduced width of the squeeze-and-excitation: output channels / 16 before the ReLU, / 4 after it; 0 without.</summary>
    public int SqueezeWidth => SqueezeExcitation switch
    {
        SqueezeExcitation.BeforeRelu => OutputChannels / 16,
        SqueezeExcitation.AfterRelu => OutputChannels / 4,
        _ => 0,
    };
}
