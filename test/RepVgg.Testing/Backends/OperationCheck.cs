using RepVgg.Backends;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <summary>Holds an operation of a backend against a double-precision reference: values, and gradients by central differences of the reference.</summary>
internal sealed class OperationCheck(Backend backend, int seed)
{
    /// <summary>Random directions in which each operand's gradient is checked: one wrong element shows in any of them.</summary>
    private const int Directions = 2;

    private readonly Random _random = new(seed);
    private readonly List<double[]> _values = [];
    private readonly List<int[]> _shapes = [];
    private readonly List<bool> _isParameter = [];

    public bool Training { get; init; } = true;

    public double Tolerance { get; init; } = 1e-5;

    /// <summary>Adds a map or vector that operations take.</summary>
    public OperationCheck Input(params int[] shape) => Operand(shape, false, Gaussian);

    /// <summary>Adds an input with given values.</summary>
    public OperationCheck Input(int[] shape, Func<Random, double> value) => Operand(shape, false, value);

    /// <summary>Adds a parameter.</summary>
    public OperationCheck Parameter(params int[] shape) => Operand(shape, true, Gaussian);

    /// <summary>Runs both sides and compares.</summary>
    public void Compare(Func<double[][], double[]> reference, Func<Tensor[], Tensor> operation)
    {
        var values = _values.ToArray();
        double[] expected = reference(values);
        var kept = new List<Tensor>();
        using (backend.BeginStep(Training, record: true))
        {
            var tensors = new Tensor[values.Length];
            for (int i = 0; i < values.Length; i++)
            {
                float[] floats = [.. values[i].Select(value => (float)value)];
                if (_isParameter[i])
                    kept.Add(tensors[i] = backend.CreateParameter(new TensorData(_shapes[i], floats)));
                else
                    tensors[i] = backend.CreateInput(_shapes[i], floats, requiresGradient: true);
            }
            var output = operation(tensors);
            var actual = new float[expected.Length];
            Assert.Equal(expected.Length, output.Shape.Aggregate(1, (product, dimension) => product * dimension));
            backend.CopyOut(output, actual);
            Testing.Compare.Close([.. expected.Select(value => (float)value)], actual, Tolerance, "output");

            float[] direction = [.. expected.Select(_ => (float)Gaussian(_random))];
            backend.BackwardFrom(output, direction);
            for (int i = 0; i < values.Length; i++)
                CompareGradient(i, values, reference, direction, tensors[i]);
        }
        foreach (var tensor in kept)
            tensor.Dispose();
    }

    private void CompareGradient(int operand, double[][] values, Func<double[][], double[]> reference, float[] direction, Tensor tensor)
    {
        const double Step = 1e-6;
        double[] x = values[operand];
        var gradient = new float[x.Length];
        backend.CopyGradient(tensor, gradient);
        double norm = Math.Sqrt(gradient.Sum(value => (double)value * value));
        for (int i = 0; i < Directions; i++)
        {
            double[] towards = [.. x.Select(_ => Gaussian(_random))];
            double expected = (Along(Step) - Along(-Step)) / (2 * Step);
            double actual = gradient.Zip(towards, (g, t) => g * t).Sum();
            double error = Math.Abs(actual - expected) / Math.Max(norm, 1e-30);
            Assert.True(error <= 3 * Tolerance, $"gradient by operand {operand} of shape [{string.Join(", ", _shapes[operand])}]: relative error {error:g3}, allowed {3 * Tolerance:g3}.");

            double Along(double step)
            {
                var moved = values.ToArray();
                moved[operand] = [.. x.Zip(towards, (value, t) => value + step * t)];
                return reference(moved).Zip(direction, (value, d) => value * d).Sum();
            }
        }
    }

    private OperationCheck Operand(int[] shape, bool isParameter, Func<Random, double> value)
    {
        // Values that floats hold exactly: both sides then start from the same numbers.
        _values.Add([.. Enumerable.Range(0, shape.Aggregate(1, (product, dimension) => product * dimension)).Select(_ => (double)(float)value(_random))]);
        _shapes.Add(shape);
        _isParameter.Add(isParameter);
        return this;
    }

    public static double Gaussian(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
