using System.Reflection;

namespace Microsoft.ML.Standin;

/// <summary>Calls of generic methods where the value type is known at run time only.</summary>
internal static class UntypedGetters
{
    private static readonly MethodInfo _getGetter =
        ((Func<DataViewRow, DataViewSchema.Column, Delegate>)TypedGetter<int>).Method.GetGenericMethodDefinition();

    /// <summary>The getter of a column, a <see cref="ValueGetter{TValue}"/> of its raw type.</summary>
    internal static Delegate Get(DataViewRow row, DataViewSchema.Column column) =>
        Invoke<Delegate>(_getGetter, column.Type.RawType, null, row, column);

    /// <summary>
    /// Calls <paramref name="method"/> (a generic method with one type parameter, given as one of its instances) for
    /// <paramref name="type"/>. Exceptions come through as they were thrown.
    /// </summary>
    internal static TResult Call<TResult>(Delegate method, Type type, params object[] arguments) =>
        Invoke<TResult>(method.Method.GetGenericMethodDefinition(), type, method.Target, arguments);

    private static TResult Invoke<TResult>(MethodInfo method, Type type, object target, params object[] arguments) =>
        (TResult)method.MakeGenericMethod(type).Invoke(
            target, BindingFlags.DoNotWrapExceptions, binder: null, arguments, culture: null);

    private static Delegate TypedGetter<T>(DataViewRow row, DataViewSchema.Column column) => row.GetGetter<T>(column);
}
