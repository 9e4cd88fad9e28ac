using System.Globalization;
using RepVgg.Runtime;

namespace RepVgg.Weights;

/// <summary>Checks the values of weights when they are read from a file, so that the error names the file and the tensor.</summary>
internal static class StoredValues
{
    private const string VarianceSuffix = ".running_var";

    /// <summary>Returns weights whose values are checked when they are read: all must be finite, and the variance of a batch norm plus epsilon must be positive.</summary>
    /// <param name="file">Name of the file in messages.</param>
    /// <param name="state">Weights under the names in the file.</param>
    /// <param name="epsilon">The epsilon of the batch norms; null if it is unknown, so that variances are not checked.</param>
    /// <exception cref="InvalidDataException">A value that is in memory is invalid. The same exception is thrown when other values are read.</exception>
    public static StateDict Checked(string file, StateDict state, float? epsilon)
    {
        var result = new StateDict();
        foreach (var (name, tensor) in state)
            result[name] = tensor.WithCheck((start, values) => Check(file, name, tensor.Shape, start, values, epsilon));
        return result;
    }

    private static void Check(string file, string name, IReadOnlyList<int> shape, int start, ReadOnlySpan<float> values, float? epsilon)
    {
        if (TensorData.IndexOfNonFinite(values) is >= 0 and var invalid)
            throw Invalid(values[invalid], invalid, "weights must be finite numbers. Use a checkpoint from before the training diverged");
        if (epsilon is not { } added || !name.EndsWith(VarianceSuffix, StringComparison.Ordinal))
            return;
        for (int i = 0; i < values.Length; i++)
        {
            if (!(values[i] + (double)added > 0))
                throw Invalid(values[i], i, "a variance plus epsilon must be positive");
        }

        InvalidDataException Invalid(float value, int at, string rule) => new(string.Create(
            CultureInfo.InvariantCulture, $"{file} cannot be used: '{MessageText.Printable(name)}' holds {value} at index [{string.Join(", ", IndexOf(shape, start + at))}]; {rule}."));
    }

    /// <summary>Converts a row-major index to one index per dimension.</summary>
    private static int[] IndexOf(IReadOnlyList<int> shape, int index)
    {
        var indices = new int[shape.Count];
        for (int axis = indices.Length - 1; axis >= 0; axis--)
            (index, indices[axis]) = Math.DivRem(index, shape[axis]);
        return indices;
    }
}
