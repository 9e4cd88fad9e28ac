namespace RepVgg.Backends;

/// <summary>The role of a tensor, which determines its lifetime.</summary>
internal enum TensorRole
{
    /// <summary>A trained tensor; valid until it is disposed.</summary>
    Parameter,

    /// <summary>A tensor that is not trained; valid until it is disposed.</summary>
    Buffer,

    /// <summary>An input or a result of an operation; valid until its step ends.</summary>
    Step,
}
