using Microsoft.ML.RepVgg.Tests.Support;

namespace Microsoft.ML.RepVgg.Tests.Torch;

/// <summary>Reports what is left out: these tests hold TorchSharp's own types and are compiled only where it is there.</summary>
public class TorchSharpTypeTests
{
    [TorchSharpFact]
    public void Modules()
    {
    }

    [TorchSharpFact]
    public void Memory()
    {
    }

    [TorchSharpFact]
    public void Runtime()
    {
    }
}
