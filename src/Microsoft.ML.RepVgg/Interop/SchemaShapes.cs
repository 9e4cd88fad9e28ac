using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Creates schema shapes. The constructor of <see cref="SchemaShape.Column"/> is not public, so ML.NET's own code creates the columns.</summary>
internal static class SchemaShapes
{
    /// <summary>Gets the shape of a schema: its columns and their annotations.</summary>
    /// <remarks>An estimator chain computes the shape and passes it to its estimators. The private estimator <see cref="Probe"/> stores it.</remarks>
    /// <param name="schema">Any schema.</param>
    /// <returns>The shape.</returns>
    public static SchemaShape Of(DataViewSchema schema)
    {
        var probe = new Probe();
        new EstimatorChain<ITransformer>().Append(probe).Fit(new SchemaOnlyView(schema));
        return probe.Shape!;
    }

    /// <summary>Creates the shape of a Vector&lt;Single&gt; column of known size.</summary>
    /// <param name="name">Name of the column.</param>
    /// <param name="size">Number of values.</param>
    /// <returns>The column.</returns>
    public static SchemaShape.Column FloatVector(string name, int size)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(name, new VectorDataViewType(NumberDataViewType.Single, size));
        return Of(builder.ToSchema())[0];
    }

    /// <summary>Finds the last column with a name. It is the visible one, since a later column hides earlier columns of the same name.</summary>
    /// <param name="shape">The shape to search.</param>
    /// <param name="name">The column's name.</param>
    /// <returns>The column, or null if there is none with this name.</returns>
    public static SchemaShape.Column? Find(this SchemaShape shape, string name)
    {
        SchemaShape.Column? found = null;
        foreach (var column in shape)
        {
            if (column.Name == name)
                found = column;
        }
        return found;
    }

    private sealed class Probe : IEstimator<ITransformer>
    {
        public SchemaShape? Shape { get; private set; }

        public SchemaShape GetOutputSchema(SchemaShape inputSchema) => Shape = inputSchema;

        public ITransformer Fit(IDataView input) => new TransformerChain<ITransformer>();
    }
}
