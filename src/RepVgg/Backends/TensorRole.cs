namespace RepVgg.Backends;

/// <summary>What a tensor is for, and so how long it lives.</summary>
internal enum TensorRole
{
    /// <summary>Trained; lives until disposed.</summary>
    Parameter,

    /// <summary>Kept but not trained; lives until disposed.</summary>
    Buffer,

    /// <summary>An input or a result; lives until its step is over.</summary>
    Step,
}
