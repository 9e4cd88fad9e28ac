using RepVgg.Backends;

namespace RepVgg.Networks;

/// <summary>The auxiliary classifier of RepVGGplus: 3x3 convolution with stride 2, batch norm, ReLU, global average pooling, linear layer.</summary>
internal sealed class AuxiliaryHead(string name, TrainingNetwork network)
{
    private readonly Tensor _kernel = network.Tensor($"{name}.0.conv.weight");
    private readonly BatchNormState _norm = network.Norm($"{name}.0.bn");
    private readonly Tensor _weight = network.Tensor($"{name}.3.weight");
    private readonly Tensor _bias = network.Tensor($"{name}.3.bias");

    public Tensor Forward(Backend backend, Tensor map)
    {
        var features = backend.Relu(backend.BatchNorm(backend.Conv2d(map, _kernel, null, 2, 1, 1), _norm));
        return backend.Linear(backend.GlobalAveragePool(features), _weight, _bias);
    }
}
